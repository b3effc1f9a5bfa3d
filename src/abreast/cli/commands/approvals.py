"""``abreast approve`` and ``abreast reject``: what a person says about a deployment that waits for an approval."""

import json
from typing import TYPE_CHECKING

from abreast.cli.confirmation import required_reason
from abreast.cli.lazy import load
from abreast.cli.outcome import report_outcome
from abreast.cli.progress import ProgressDisplay, output_stream
from abreast.cli.selection import choose_deployment, choose_proposal, locate_workspace
from abreast.core.approval import ApprovalDecision, ApprovalState, vote_refusal
from abreast.core.errors import RefusedError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter
from abreast.core.states import DeploymentState
from abreast.deploy.chapters.approval import COUNTS, approval_decision
from abreast.ledger.interface import Deployment
from abreast.ledger.sqlite import SqliteLedger
from abreast.machine.lazy_modules import lazy_module
from abreast.wiring.workspace import utc_now

if TYPE_CHECKING:  # what only proposals need
    from abreast.cli.commands import proposals
else:
    proposals = lazy_module("abreast.cli.commands.proposals")

PATIENCE = 150.0
"""Seconds to wait until others can read a vote."""


def approve(deployment: str | None, reason: str, *, yes: bool, as_json: bool) -> int:
    """Carry a proposal out, or record an approval. Returns 3 if this person's does not count, which is recorded too."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        if proposal := choose_proposal(ledger, deployment):
            return proposals.carry_out(ledger, proposal, reason, yes=yes, as_json=as_json)
        chosen, decision = _vote(ledger, deployment, workspace.operator, reason, approves=True)
    if as_json:
        print(json.dumps({"deployment": chosen.id, "state": decision.state, "missing": decision.missing}))
        return 0
    print(f"{workspace.operator} approved {chosen.release} for {chosen.environment}")
    print(decision.text)
    if decision.state is ApprovalState.GRANTED:
        print(f"next: abreast resume {chosen.id}, where the variables of {chosen.environment} are set")
    return 0


def reject(deployment: str | None, reason: str, *, as_json: bool) -> int:
    """Record a rejection, and end the deployment, of which nothing was staged, or the proposal."""
    workspace = locate_workspace()
    reason = required_reason(reason, on_stderr=as_json)
    with workspace.open_ledger() as ledger:
        if proposal := choose_proposal(ledger, deployment):
            return proposals.reject(ledger, proposal, workspace.operator, reason, as_json=as_json)
        chosen, _ = _vote(ledger, deployment, workspace.operator, reason, approves=False)
        display = ProgressDisplay(ledger, output_stream(as_json=as_json), workspace.deployment_logs)
        load("abreast.cli.commands.deployments:finish")(workspace, ledger, chosen, display)
        ended = ledger.deployment(chosen.id)
        return report_outcome(ended, {DeploymentState.TURNED_BACK}, display.print_line, live={}, as_json=as_json)


def _vote(
    ledger: SqliteLedger, requested: str | None, by: str, reason: str, *, approves: bool
) -> tuple[Deployment, ApprovalDecision]:
    """Record a vote, and return the deployment and how far its approval is now.

    Raises UsageError if it does not wait for one, RefusedError if it is too late, this person's vote does not count, or
    others cannot read it.
    """
    chosen = choose_deployment(ledger, requested, unfinished=requested is None)
    plan, events = ledger.stored_plan(chosen.id), ledger.events(chosen.id)
    if plan.approval is None or chosen.state is not DeploymentState.APPROVING:
        what = f"deployment {chosen.id} does not wait for an approval: it is {chosen.state}"
        raise UsageError(what, next="abreast history")
    before = approval_decision(plan, events, utc_now())
    if before.state is ApprovalState.EXPIRED:
        what = f"deployment {chosen.id} cannot be approved any more: {before.text}"
        raise RefusedError(what, next=f"abreast deploy --env {plan.environment}")
    why_not = vote_refusal(plan.approval, by, plan.authors)
    number = sum(event.kind is EventKind.VOTED and event.data["by"] == by for event in events) + 1
    said = f"{by} {'approves' if approves else 'rejects'}{f': {reason}' if reason else ''}"
    message = f"{said}; it does not count: {why_not}" if why_not else said
    data = {"by": by, "approves": approves, "reason": reason, COUNTS: not why_not}
    ledger.append_events(
        Event(chosen.id, f"vote/{by}/{number}", EventKind.VOTED, message, chapter=Chapter.APPROVAL, data=data)
    )
    if away := ledger.flush(PATIENCE):
        raise RefusedError(f"recorded on this machine only: {away}", next="abreast state show")
    if why_not:
        raise RefusedError(f"{why_not}; this is recorded", next=f"abreast show {chosen.id}")
    return chosen, approval_decision(plan, ledger.events(chosen.id), utc_now())
