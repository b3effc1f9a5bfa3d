"""Approval: nothing is staged before enough people have agreed. Waiting for them takes no process."""

import asyncio
from collections.abc import Callable, Sequence

from abreast.core.approvals.request import ApprovalRequest, ReleaseChanges
from abreast.core.approvals.rule import (
    ApprovalDecision,
    ApprovalRule,
    ApprovalState,
    Vote,
    decide_approval,
    vote_refusal,
)
from abreast.core.codec import dump, load
from abreast.core.errors import AbreastError, StateError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Failure, FailureCause
from abreast.core.plan import Plan
from abreast.core.secrets import same_value
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.freezes import refuse_frozen
from abreast.deploy.runtime.ports import FINGERPRINTS
from abreast.deploy.runtime.run import Run

CHANGES = "changes"
"""Where the event of a request has what the deployment changes."""

COUNTS = "counts"
"""Where the event of a vote says whether it counts."""

LINK = "link"
"""Where it says by which link it was given, "" by none."""


class AwaitsApprovalError(StateError):
    """The deployment waits for people. It goes on when it is resumed after they have agreed."""


_UNRECORDED = ReleaseChanges(unknown=("what it changes: the abreast that asked for the approval did not record it",))

Gather = Callable[[Sequence[Event]], ReleaseChanges]
"""Returns what a deployment changes, by its events."""


async def await_approval(run: Run, gather: Gather) -> Failure | None:
    """Ask for the approval that the plan needs. Returns the failure if it was refused, came too late or holds no more.

    What ``gather`` returns is recorded with the request, so everybody is shown the same. Raises AwaitsApprovalError
    while people are missing: this process ends, and nothing of it is recorded as an end.
    """
    rule = run.plan.approval
    assert rule
    await _ask(run, rule, gather)
    await _count_reviewer(run, rule)
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    decision = approval_decision(run.plan, events, run.ports.now())
    if decision.state is ApprovalState.PENDING:
        until = f"{decision.text}; the request expires at {decision.expires}"
        raise AwaitsApprovalError(until, next=f"abreast approve {run.plan.deployment}")
    if decision.state is not ApprovalState.GRANTED:
        return Failure(Chapter.APPROVAL, decision.text, cause=FailureCause.REFUSED)
    if changed := await asyncio.to_thread(_changed_secrets, run, decision.text):
        what = f"{decision.text}, and since it was asked for, {', '.join(changed)} got another value: ask again"
        return Failure(Chapter.APPROVAL, what, cause=FailureCause.REFUSED)
    if frozen := next(refuse_frozen(run.plan, run.ports.now()), None):
        raise AwaitsApprovalError(f"{decision.text}; {frozen.what}", next=f"abreast resume {run.plan.deployment}")
    await run.record(
        "state/approved", EventKind.STATE, decision.text, state=DeploymentState.RUNNING, chapter=Chapter.APPROVAL
    )
    return None


async def _ask(run: Run, rule: ApprovalRule, gather: Gather) -> None:
    """Record the request, once, with what the deployment changes."""
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    if not any(event.state is DeploymentState.APPROVING for event in events):
        asked = f"{rule.required} of {', '.join(rule.people)} have to approve"
        changes = await asyncio.to_thread(gather, events)
        await run.enter_state(DeploymentState.APPROVING, asked, Chapter.APPROVAL, **{CHANGES: dump(changes)})


def _changed_secrets(run: Run, approved: str) -> list[str]:
    """Return the secrets whose values are not those that were recorded when the deployment began.

    An approval does not hold for others. Raises AwaitsApprovalError where a secret has no value.
    """
    ports, plan = run.ports, run.plan
    if FINGERPRINTS in ports.only_here:
        return []
    known = ports.ledger.secret_fingerprints(plan.environment)
    try:
        revealed = {part.name: ports.reveal_secrets(part.service) for part in plan.rollouts}
    except UsageError as error:
        raise AwaitsApprovalError(f"{approved}; {error.what}", next=f"abreast resume {plan.deployment}") from error
    return [
        f"{name} of {service}"
        for service, secrets in revealed.items()
        for name, secret in secrets.items()
        if same_value(known.get(f"{service}/{name}", ""), ports.fingerprint(secret)) is False
    ]


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
        data = {"by": login, "approves": True, "reason": "approved the run", COUNTS: True, LINK: ""}
        text = f"{login} approved the run"
        await run.record("vote/reviewer", EventKind.VOTED, text, chapter=Chapter.APPROVAL, data=data)


def approval_decision(plan: Plan, events: Sequence[Event], now: str) -> ApprovalDecision:
    """Return how far the approval of a deployment is, which needs one."""
    assert plan.approval
    asked = next((event.at for event in events if event.state is DeploymentState.APPROVING), now)
    return decide_approval(plan.approval, votes(events), plan.authors, asked, now)


def approval_request(plan: Plan, events: Sequence[Event]) -> ApprovalRequest:
    """Return the request for an approval as it is now, with what was recorded of it when it was made."""
    rule = plan.approval
    assert rule
    asked = next(event for event in events if event.state is DeploymentState.APPROVING)
    decision = decide_approval(rule, votes(events), plan.authors, asked.at, asked.at)
    recorded = asked.data.get(CHANGES)
    changes = load(ReleaseChanges, recorded) if recorded else _UNRECORDED
    barred = tuple(person for person in rule.people if vote_refusal(rule, person, plan.authors))
    return ApprovalRequest(
        plan.deployment, plan.environment, plan.release, rule, decision.expires, changes, barred, decision.approved,
        plan.risk, decision.state,
    )  # fmt: skip


def votes(events: Sequence[Event]) -> list[Vote]:
    """Return the votes on a deployment that count, oldest first."""
    return [
        Vote(str(event.data["by"]), bool(event.data["approves"]), str(event.data["reason"]), event.at)
        for event in events
        if event.kind is EventKind.VOTED and event.data[COUNTS]
    ]
