"""Approval: nothing is staged before enough people have agreed. Waiting for them takes no process."""

import asyncio
from collections.abc import Sequence

from abreast.core.approval import ApprovalDecision, ApprovalState, Vote, decide_approval
from abreast.core.errors import StateError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Failure, FailureCause, Plan
from abreast.core.states import DeploymentState
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
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    decision = approval_decision(run.plan, events, run.ports.now())
    if decision.state is ApprovalState.PENDING:
        raise AwaitsApprovalError(decision.text, next=f"abreast approve {run.plan.deployment}")
    if decision.state is not ApprovalState.GRANTED:
        return Failure(Chapter.APPROVAL, decision.text, cause=FailureCause.REFUSED)
    await run.record(
        "state/approved", EventKind.STATE, decision.text, state=DeploymentState.RUNNING, chapter=Chapter.APPROVAL
    )
    return None


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
