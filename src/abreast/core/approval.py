"""Approvals: who has to agree to a deployment, and whether they have."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """``required`` of ``people`` have to agree, within ``expires`` seconds of the request.

    With ``not_author``, neither who started the deployment nor who wrote its commits is one of them.
    """

    required: int
    people: tuple[str, ...]
    not_author: bool = True
    expires: float = 86400.0


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
    """The state of a request, in a sentence. ``missing``: how many approvals it still needs."""

    state: ApprovalState
    text: str
    missing: int = 0


def vote_refusal(rule: ApprovalRule, by: str, authors: Collection[str]) -> str:
    """Return why the vote of a person does not count, "" if it does. ``authors``: whom ``not_author`` excludes."""
    if by.casefold() not in map(str.casefold, rule.people):
        return f"{by} is not among those who may approve: {', '.join(rule.people)}"
    if rule.not_author and by.casefold() in map(str.casefold, authors):
        return f"{by} is an author of this deployment, which somebody else has to approve"
    return ""


def decide_approval(
    rule: ApprovalRule, votes: Sequence[Vote], authors: Collection[str], requested_at: str, now: str
) -> ApprovalDecision:
    """Return whether a deployment may go on. The latest vote of each person counts, and one rejection ends it."""
    latest = {vote.by.casefold(): vote for vote in votes if not vote_refusal(rule, vote.by, authors)}
    if rejecting := next((vote for vote in latest.values() if not vote.approves), None):
        why = f": {rejecting.reason}" if rejecting.reason else ""
        return ApprovalDecision(ApprovalState.REJECTED, f"{rejecting.by} rejected it{why}")
    approvers = sorted(vote.by for vote in latest.values())
    if len(approvers) >= rule.required:
        return ApprovalDecision(ApprovalState.GRANTED, f"approved by {', '.join(approvers)}")
    waited = (datetime.fromisoformat(now) - datetime.fromisoformat(requested_at)).total_seconds()
    missing = rule.required - len(approvers)
    if waited > rule.expires:
        return ApprovalDecision(ApprovalState.EXPIRED, f"its request expired with {missing} of {rule.required} missing")
    given = f"; approved by {', '.join(approvers)}" if approvers else ""
    who = f"{missing} more" if approvers else f"{rule.required}"
    text = f"waits for an approval by {who} of {', '.join(rule.people)}{given}"
    return ApprovalDecision(ApprovalState.PENDING, text, missing)
