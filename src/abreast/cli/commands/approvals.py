"""``abreast approve`` and ``abreast reject``: what a person says about a deployment that waits for an approval."""

import json
import sys
from typing import TYPE_CHECKING

from abreast.cli.ballot import Ballot, ballot_refusal, cast, open_ballot
from abreast.cli.confirmation import confirm, required_reason
from abreast.cli.lazy import load
from abreast.cli.outcome import report_outcome
from abreast.cli.progress import ProgressDisplay, output_stream
from abreast.cli.published import require_published
from abreast.cli.redaction import redact
from abreast.cli.selection import choose_proposal, locate_workspace
from abreast.cli.views.approval_request import request_lines
from abreast.core.approvals.rule import ApprovalDecision, ApprovalState, vote_refusal
from abreast.core.errors import RefusedError, UsageError
from abreast.core.states import DeploymentState
from abreast.ledger.acts import DONE
from abreast.ledger.sqlite import SqliteLedger
from abreast.machine.lazy_modules import lazy_module
from abreast.wiring.workspace import Workspace

if TYPE_CHECKING:  # what only proposals need
    from abreast.cli.commands import proposals
else:
    proposals = lazy_module("abreast.cli.commands.proposals")

MAKE_LINK = "approval-link"
"""The act of making a link by hand."""


def approve(deployment: str | None, reason: str, link_for: str | None, *, yes: bool, as_json: bool) -> int:
    """Carry a proposal out, or record an approval. Returns 3 if this person's does not count, which is recorded, too.

    A terminal shows what is approved, and asks. With ``link_for``, nothing is approved: a link is made for somebody.
    """
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        if proposal := choose_proposal(ledger, deployment):
            if link_for is not None:
                raise UsageError(f"{proposal.hash} is a proposal, and links approve deployments", need="its hash alone")
            return proposals.carry_out(ledger, proposal, reason, yes=yes, as_json=as_json)
        ballot = open_ballot(workspace, ledger, deployment)
        if link_for is not None:
            return _print_link(workspace, ledger, ballot, link_for, as_json=as_json)
        if sys.stdin.isatty() and not yes and not as_json and not ballot_refusal(workspace, ballot):
            _ask(ballot)
        decision = cast(workspace, ledger, ballot, reason, approves=True)
    chosen = ballot.deployment
    if as_json:
        document = {"deployment": chosen.id, "by": ballot.person, "state": decision.state, "missing": decision.missing}
        print(json.dumps(document))
        return 0
    print(f"{ballot.person} approved {chosen.release} for {chosen.environment}")
    for line in _outlook(ballot, decision):
        print(line)
    return 0


def _ask(ballot: Ballot) -> None:
    """Show what is approved, and ask. A no ends the command, and nothing is recorded."""
    chosen = ballot.deployment
    for line in request_lines(ballot.request):
        print(redact(line))
    confirm(f"Approve {chosen.release} for {chosen.environment}, as {ballot.person}?", "it", yes=False)


def _outlook(ballot: Ballot, decision: ApprovalDecision) -> list[str]:
    """Return how far the approval is, and what comes next."""
    chosen = ballot.deployment
    if decision.state is ApprovalState.GRANTED:
        return [decision.text, f"next: abreast resume {chosen.id}, where the variables of {chosen.environment} are set"]
    return [decision.text, f"next: abreast approve {chosen.id}, by one of them, until {decision.expires}"]


def reject(deployment: str | None, reason: str, *, as_json: bool) -> int:
    """Record a rejection, and end the deployment, of which nothing was staged, or the proposal."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        if proposal := choose_proposal(ledger, deployment):
            reason = required_reason(reason, on_stderr=as_json)
            return proposals.reject(ledger, proposal, workspace.operator, reason, as_json=as_json)
        ballot = open_ballot(workspace, ledger, deployment)
        reason = required_reason(reason, on_stderr=as_json)
        cast(workspace, ledger, ballot, reason, approves=False)
        display = ProgressDisplay(ledger, output_stream(as_json=as_json), workspace.deployment_logs)
        load("abreast.cli.commands.deployments:finish")(workspace, ledger, ballot.deployment, display)
        ended = ledger.deployment(ballot.deployment.id)
        return report_outcome(ended, {DeploymentState.TURNED_BACK}, display.print_line, live={}, as_json=as_json)


def _print_link(workspace: Workspace, ledger: SqliteLedger, ballot: Ballot, person: str, *, as_json: bool) -> int:
    """Print the link of a person, and record that it was made. Raises RefusedError for somebody who may not approve."""
    chosen, plan = ballot.deployment, ballot.plan
    signer = load("abreast.wiring.approval_links:link_signer")(workspace)
    if workspace.ci_run:
        what = "a link in the log of a run would be everybody's who reads that"
        raise RefusedError(
            what, need="a terminal, with ABREAST_AUDIT_KEY", next="`people: {NAME: {email: …}}` sends it"
        )
    if ballot.rule.needs_id_token:
        what = f"{plan.environment} has `identity: id-token`, and a link proves less"
        raise RefusedError(what, need="`abreast approve` in a job that may have an ID token")
    if refusal := vote_refusal(ballot.rule, person, plan.authors):
        raise RefusedError(refusal, next=f"abreast show {chosen.id}")
    named = next(each for each in ballot.rule.people if each.casefold() == person.casefold())
    expires = ballot.request.expires
    link = load("abreast.wiring.approval_links:signed_link")(signer, ledger, chosen.id, named, expires)
    ledger.record_act(chosen.environment, MAKE_LINK, DONE, detail=f"for {named}, to approve or reject {chosen.id}")
    require_published(ledger)
    if as_json:
        document = {"deployment": chosen.id, "person": named, "expires": expires, "link": link.reveal()}
        print(json.dumps(document))
    else:
        print(link.reveal())
        print(f"whoever has it can approve or reject {chosen.release} as {named}, until {expires}", file=sys.stderr)
    return 0
