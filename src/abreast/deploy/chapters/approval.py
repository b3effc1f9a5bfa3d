"""Approval: nothing is staged before enough people have agreed. Waiting for them takes no process."""

import asyncio
from collections.abc import Sequence

from abreast.core.approval import ApprovalDecision, ApprovalRule, ApprovalState, Vote, decide_approval, vote_refusal
from abreast.core.errors import AbreastError, StateError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Failure, FailureCause
from abreast.core.plan import Plan
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.freezes import refuse_frozen
from abreast.deploy.runtime.run import Run

COUNTS = "counts"
"""Where the event of a vote says whether it counts."""


class AwaitsApprovalError(StateError):
    """The deployment waits for people. It goes on when it is resumed after they have agreed."""


async def await_approval(run: Run) -> Failure | None:
    """Ask for the approval that the plan needs. Returns the failure if it was refused or came too late.

    Raises AwaitsApprovalError while people are missing: this process ends, and nothing of it is recorded as an end.
    """
    rule = run.plan.approval
    assert rule
    asked = f"{rule.required} of {', '.join(rule.people)} have to approve"
    await run.enter_state(DeploymentState.APPROVING, asked, chapter=Chapter.APPROVAL)
    await _count_reviewer(run, rule)
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    decision = approval_decision(run.plan, events, run.ports.now())
    if decision.state is ApprovalState.PENDING:
        raise AwaitsApprovalError(decision.text, next=f"abreast approve {run.plan.deployment}")
    if decision.state is not ApprovalState.GRANTED:
        return Failure(Chapter.APPROVAL, decision.text, cause=FailureCause.REFUSED)
    if frozen := next(refuse_frozen(run.plan, run.ports.now()), None):
        raise AwaitsApprovalError(f"{decision.text}; {frozen.what}", next=f"abreast resume {run.plan.deployment}")
    await run.record(
        "state/approved", EventKind.STATE, decision.text, state=DeploymentState.RUNNING, chapter=Chapter.APPROVAL
    )
    return None


async def _count_reviewer(run: Run, rule: ApprovalRule) -> None:
    """Count the CI system's own approval of this run as that of one person, however many it asks."""
    try:
        reviewers = await run.ports.reviewers(run.plan.environment) if run.ports.reviewers else ()
    except AbreastError as error:
        note = f"who approved this run is unknown: {error.what}"
        await run.record("approval/reviewers", EventKind.NOTE, note, chapter=Chapter.APPROVAL)
        return
    counting = (login for login in reviewers if not vote_refusal(rule, login, run.plan.authors))
    if login := next(counting, None):
        data = {"by": login, "approves": True, "reason": "approved the run", COUNTS: True}
        text = f"{login} approved the run"
        await run.record("vote/reviewer", EventKind.VOTED, text, chapter=Chapter.APPROVAL, data=data)


def approval_decision(plan: Plan, events: Sequence[Event], now: str) -> ApprovalDecision:
    """Return how far the approval of a deployment is, which needs one."""
    assert plan.approval
    asked = next((event.at for event in events if event.state is DeploymentState.APPROVING), now)
    return decide_approval(plan.approval, votes(events), plan.authors, asked, now)


def votes(events: Sequence[Event]) -> list[Vote]:
    """Return the votes on a deployment that count, oldest first."""
    return [
        Vote(str(event.data["by"]), bool(event.data["approves"]), str(event.data["reason"]), event.at)
        for event in events
        if event.kind is EventKind.VOTED and event.data[COUNTS]
    ]
