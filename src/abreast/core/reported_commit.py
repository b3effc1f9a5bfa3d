"""What an application tells of itself in an answer."""

import json
from collections.abc import Mapping


def reported_commit(headers: Mapping[str, str], body: bytes) -> str:
    """Return the commit that an answer names: in its header ``X-Commit``, or as ``commit`` in JSON; "" for none."""
    return headers.get("X-Commit") or _commit_in_json(body)


def _commit_in_json(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    told = answer.get("commit") if isinstance(answer, dict) else None
    return told if isinstance(told, str) and _is_commit_id(told) else ""


def _is_commit_id(text: str) -> bool:
    return len(text) >= 7 and all(letter in "0123456789abcdef" for letter in text.lower())
