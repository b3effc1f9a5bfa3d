"""Approvals: who has to agree to a deployment, and whether they have."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """``required`` of ``people`` have to agree, within ``expires`` seconds of the request.

    With ``not_author``, neither who started the deployment nor who wrote its commits is one of them. ``url`` is where
    the server is that takes their links, "" if there is none. ``needs_id_token``: a vote counts only if an ID token
    proves whose it is.
    """

    required: int
    people: tuple[str, ...]
    not_author: bool = True
    expires: float = 86400.0
    url: str = ""
    needs_id_token: bool = False


@dataclass(frozen=True, slots=True)
class Vote:
    """What a person said about a deployment. ``at`` is ISO 8601."""

    by: str
    approves: bool
    reason: str = ""
    at: str = ""


class ApprovalState(StrEnum):
    """How far a request for approval is."""

    GRANTED = "granted"
    PENDING = "pending"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """The state of a request, in a sentence. ``missing``: how many approvals it still needs.

    ``approved`` are those who gave one. ``expires`` is when the request does, in ISO 8601.
    """

    state: ApprovalState
    text: str
    missing: int = 0
    approved: tuple[str, ...] = ()
    expires: str = ""


def vote_refusal(rule: ApprovalRule, by: str, authors: Collection[str]) -> str:
    """Return why the vote of a person does not count, "" if it does. ``authors``: whom ``not_author`` excludes."""
    if by.casefold() not in map(str.casefold, rule.people):
        return f"{by} is not among those who may approve: {', '.join(rule.people)}"
    if rule.not_author and by.casefold() in map(str.casefold, authors):
        return f"{by} is an author of this deployment, which somebody else has to approve"
    return ""


def too_few_people(rule: ApprovalRule, authors: Collection[str]) -> str:
    """Return why nobody can ever grant a request, since too many who might are authors, "" if people can."""
    able = [person for person in rule.people if not vote_refusal(rule, person, authors)]
    if len(able) >= rule.required:
        return ""
    others = ", ".join(person for person in rule.people if person not in able)
    who = f"only {', '.join(able)} can" if able else "nobody can"
    return f"{rule.required} of {', '.join(rule.people)} have to approve, and {who}: authors of it are {others}"


def decide_approval(
    rule: ApprovalRule, votes: Sequence[Vote], authors: Collection[str], requested_at: str, now: str
) -> ApprovalDecision:
    """Return whether a deployment may go on. The latest vote of each person counts, and one rejection ends it."""
    latest = {vote.by.casefold(): vote for vote in votes if not vote_refusal(rule, vote.by, authors)}
    approved = tuple(sorted(vote.by for vote in latest.values() if vote.approves))
    missing = max(0, rule.required - len(approved))
    ends = _later(datetime.fromisoformat(requested_at), rule.expires)

    def decision(state: ApprovalState, text: str, missing: int = 0) -> ApprovalDecision:
        return ApprovalDecision(
            state, text, missing, approved, ends.isoformat(timespec="seconds").replace("+00:00", "Z")
        )

    if rejecting := next((vote for vote in latest.values() if not vote.approves), None):
        why = f": {rejecting.reason}" if rejecting.reason else ""
        return decision(ApprovalState.REJECTED, f"{rejecting.by} rejected it{why}")
    if not missing:
        return decision(ApprovalState.GRANTED, f"approved by {', '.join(approved)}")
    if datetime.fromisoformat(now) > ends:
        return decision(ApprovalState.EXPIRED, f"its request expired with {missing} of {rule.required} missing")
    given = f"; approved by {', '.join(approved)}" if approved else ""
    who = f"{missing} more" if approved else f"{rule.required}"
    able = [person for person in rule.people if not vote_refusal(rule, person, authors)]
    text = f"waits for an approval by {who} of {', '.join(able) or 'nobody'}{given}"
    return decision(ApprovalState.PENDING, text, missing)


def _later(moment: datetime, seconds: float) -> datetime:
    """Return the time so many seconds after a moment, or the last one that there is."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)
