"""GitHub Actions, on github.com and on an Enterprise server.

Variables: https://docs.github.com/en/actions/reference/workflows-and-actions/variables. The event file has the payload
of the webhook: https://docs.github.com/en/webhooks/webhook-events-and-payloads.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from abreast.ci.interface import CiRun, ReadText, number

_PULL_REF = re.compile(r"refs/pull/(\d+)/")


def detect(variables: Mapping[str, str], read: ReadText) -> CiRun | None:
    """Return the run of GitHub Actions that the variables describe."""
    if variables.get("GITHUB_ACTIONS") != "true":
        return None
    server = variables.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    repository, ref = variables.get("GITHUB_REPOSITORY", ""), variables.get("GITHUB_REF", "")
    attempt = number(variables.get("GITHUB_RUN_ATTEMPT")) or 1
    event = _read_event(variables.get("GITHUB_EVENT_PATH", ""), read)
    pull = _mapping(event, "pull_request")
    pull_number = _pull_request_number(event, ref)
    first = variables.get("GITHUB_ACTOR", "")
    # Of a run that somebody else started again, GITHUB_ACTOR is still the first one, and GITHUB_ACTOR_ID too.
    actor = variables.get("GITHUB_TRIGGERING_ACTOR") or first
    return CiRun(
        provider="github-actions",
        url=f"{server}/{repository}/actions/runs/{variables.get('GITHUB_RUN_ID', '')}/attempts/{attempt}",
        actor=actor,
        actor_id=variables.get("GITHUB_ACTOR_ID", "") if actor == first else "",
        event=variables.get("GITHUB_EVENT_NAME", ""),
        ref=ref,
        branch=variables.get("GITHUB_HEAD_REF") or ref.removeprefix("refs/heads/") * ref.startswith("refs/heads/"),
        commit=str(_mapping(pull, "head").get("sha") or variables.get("GITHUB_SHA", "")),
        pull_request=pull_number,
        is_fork=_is_fork(pull) if pull_number else False,
        repository=repository,
        server_url=server,
        api_url=variables.get("GITHUB_API_URL", ""),
        attempt=attempt,
    )


def _read_event(path: str, read: ReadText) -> Mapping[str, Any]:
    """Return the event's payload, empty if it cannot be read."""
    try:
        event = json.loads(read(path)) if path else {}
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}


def _pull_request_number(event: Mapping[str, Any], ref: str) -> int | None:
    """Return the number of the pull request; a comment on one is an event of an issue with the same number."""
    issue = _mapping(event, "issue")
    found = _mapping(event, "pull_request").get("number") or ("pull_request" in issue and issue.get("number"))
    named = _PULL_REF.match(ref)
    return found if isinstance(found, int) and found else number(named and named[1])


def _is_fork(pull: Mapping[str, Any]) -> bool | None:
    """Return whether the head is in another repository than the base. The head of a deleted fork has none."""
    if not pull:
        return None
    head, base = (_mapping(_mapping(pull, side), "repo").get("full_name") for side in ("head", "base"))
    return bool(base) and head != base


def _mapping(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
