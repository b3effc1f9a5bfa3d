"""Proposals: what an agent would deploy, and what a person makes of it. To propose changes nothing."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from abreast.cli.commands.deployments import DeployCommand, plan_request, refuse_commits
from abreast.cli.commands.promotion import promotion_request
from abreast.cli.published import require_published
from abreast.cli.redaction import redact_only
from abreast.cli.selection import locate_workspace, read_record, require_known_environment
from abreast.cli.target import Target, load_target
from abreast.cli.terminal_text import visible
from abreast.cli.views.plan import plan_json, plan_lines, readiness_lines
from abreast.cli.views.proposals import proposal_json, proposal_lines
from abreast.core.errors import RefusedError, UsageError
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.proposals import (
    LIFETIME,
    Proposal,
    ProposalEnd,
    ProposalState,
    canonical,
    digest_of,
    summarize,
)
from abreast.deploy.planning import DeployRequest
from abreast.deploy.proposals import end_proposal, refuse_ended, refuse_other_plan
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import later, utc_now

MAX_REASON = 1000
"""Maximum length of the reason of a proposal."""


def propose_deploy(
    environment: str | None, services: tuple[str, ...], since: str | None, release: str | None, reason: str,
    *, force: bool, allow_dirty: bool, as_json: bool,
) -> int:  # fmt: skip
    """Propose a deployment."""
    options = {"services": services, "since": since, "release": release, "force": force}
    return _propose(environment, "deploy", options, reason, allow_dirty=allow_dirty, as_json=as_json)


def propose_promote(
    to: str, source: str | None, release: str | None, deployment: str | None, reason: str, *, as_json: bool
) -> int:
    """Propose the promotion of a release."""
    options = {"source": source, "release": release, "deployment": deployment}
    return _propose(to, "promote", options, reason, as_json=as_json)


def propose_rollback(
    environment: str | None, services: tuple[str, ...], release: str | None, reason: str, *, as_json: bool
) -> int:
    """Propose a rollback."""
    return _propose(environment, "rollback", {"services": services, "release": release}, reason, as_json=as_json)


def list_proposals(environment: str | None, *, all: bool, as_json: bool) -> int:
    """List proposals, newest first."""
    now = utc_now()
    workspace = locate_workspace()
    with read_record(workspace) as ledger:
        require_known_environment(workspace, ledger, environment)
        found = [each for each in ledger.proposals(environment) if all or each.state(now) is ProposalState.OPEN]
    if as_json:
        print(json.dumps([proposal_json(proposal, now) for proposal in found], indent=2))
    elif found:
        print(visible("\n".join(line for proposal in found for line in proposal_lines(proposal, now))))
    else:
        print("no proposal waits for a person")
    return 0


def carry_out(ledger: SqliteLedger, proposal: Proposal, reason: str, *, yes: bool, as_json: bool) -> int:
    """Show what was proposed and what would be done now, ask, and deploy. Raises RefusedError for another plan."""
    refuse_ended(proposal, utc_now())
    target = load_target(proposal.environment)
    command = DeployCommand(target.assembly, proposal.environment, ledger, as_json=as_json)
    request = _request(target, command, proposal.command, proposal.options, reason or proposal.reason)
    request = replace(request, proposal=proposal)
    for line in proposal_lines(proposal, utc_now()):
        command.report(visible(line))
    if proposal.command == "deploy":
        command.require_clean_tree(allow_dirty=True)
    proposed = command.plan(target, request)
    try:
        refuse_other_plan(proposal, proposed)
    except RefusedError:
        for line in plan_lines(proposed):
            command.report(line)
        raise
    command.confirm_plan(proposed, yes=yes)
    return command.deploy(target, request)


def reject(ledger: SqliteLedger, proposal: Proposal, by: str, reason: str, *, as_json: bool) -> int:
    """End a proposal. Raises RefusedError if it has ended already."""
    refuse_ended(proposal, utc_now())
    end_proposal(ledger, proposal, ProposalEnd(ProposalState.REJECTED, by, reason))
    require_published(ledger)
    if as_json:
        print(json.dumps({"proposal": proposal.hash, "state": ProposalState.REJECTED.value}))
    else:
        print(f"{by} rejected the proposal {proposal.hash}: {visible(proposal.summary)}")
    return 0


def _propose(
    environment: str | None, name: str, options: Mapping[str, Any], reason: str,
    *, allow_dirty: bool = False, as_json: bool,
) -> int:  # fmt: skip
    """Make the plan, and record the proposal. What would be refused now cannot be proposed."""
    if not reason.strip():
        raise UsageError("the proposal has no reason", need="--reason, which the person who decides reads")
    if len(reason) > MAX_REASON:
        raise UsageError(f"the reason has {len(reason)} characters", need=f"at most {MAX_REASON}")
    target = load_target(environment)
    with target.workspace.open_ledger() as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json)
        if name == "deploy" and not options["release"]:
            command.require_clean_tree(allow_dirty=allow_dirty)
        plan = plan_request(target, command.ports(), _request(target, command, name, options, reason))
        _refuse_pointless(plan)
        readiness = command.assess(plan)
        readiness.check()
        proposal = ledger.record_proposal(_proposal(target, plan, name, options, redact_only(reason)))
        require_published(ledger)
    if as_json:
        document = {**proposal_json(proposal, utc_now()), "plan": plan_json(plan, readiness)}
        print(json.dumps({"proposal": document}, indent=2))
    else:
        shown = (*plan_lines(plan), *readiness_lines(readiness), *proposal_lines(proposal, utc_now()))
        print(visible("\n".join(shown)))
    return 0


def _request(
    target: Target, command: DeployCommand, name: str, options: Mapping[str, Any], reason: str
) -> DeployRequest:
    """Return the request of a command that can be proposed. Raises RefusedError if the environment takes none such."""
    if name == "promote":
        return promotion_request(target, command.ports(), **options, reason=reason)
    services, release = tuple(options["services"]), options["release"]
    if name == "rollback":
        return DeployRequest(DeploymentKind.ROLLBACK, services, release=release, reason=reason)
    refuse_commits(target.environment)
    return DeployRequest(
        services=services, since=options["since"], release=release, force=options["force"], reason=reason
    )


def _refuse_pointless(plan: Plan) -> None:
    """Raise RefusedError for a plan that would deploy nothing."""
    if plan.superseded:
        raise RefusedError(
            f"this would deploy nothing: {plan.superseded}",
            need="a person, who may bring an older commit back",
            next=f"abreast deploy --env {plan.environment} --allow-older --reason …",
        )
    if plan.is_empty:
        raise RefusedError(
            "nothing to propose: everything is up to date", next=f"abreast plan --env {plan.environment}"
        )


def _proposal(target: Target, plan: Plan, name: str, options: Mapping[str, Any], reason: str) -> Proposal:
    document, workspace = canonical(plan), target.workspace
    return Proposal(
        plan.environment, digest_of(document), name, options, document, summarize(plan), _one_line(reason),
        _one_line(str(workspace.identity)), workspace.operator, later(utc_now(), LIFETIME),
    )  # fmt: skip


def _one_line(text: str) -> str:
    """Return a text of an agent as one line: with several, it could look like what abreast says of the plan."""
    return " ".join(text.split())
