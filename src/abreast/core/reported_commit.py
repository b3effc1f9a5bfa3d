"""The commit that an application reports in its responses."""

import json
from collections.abc import Mapping


def reported_commit(headers: Mapping[str, str], body: bytes) -> str:
    """Return the commit in the header ``X-Commit`` or the JSON key ``commit``, "" if there is none."""
    return headers.get("X-Commit") or _commit_in_json(body)


def _commit_in_json(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    commit = answer.get("commit") if isinstance(answer, dict) else None
    return commit if isinstance(commit, str) and _is_commit_id(commit) else ""


def _is_commit_id(text: str) -> bool:
    return len(text) >= 7 and all(letter in "0123456789abcdef" for letter in text.lower())
