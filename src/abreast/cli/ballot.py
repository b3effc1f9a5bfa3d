"""The vote of a person on a deployment that waits for an approval: whose it is, whether it counts, and its record."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

from abreast.cli.lazy import load
from abreast.cli.published import require_published
from abreast.cli.redaction import redact_only, register_secrets
from abreast.cli.selection import choose_deployment
from abreast.core.approvals.link import LinkClaims, clock_refusal, is_link, link_id, link_token
from abreast.core.approvals.request import ApprovalRequest
from abreast.core.approvals.rule import ApprovalDecision, ApprovalRule, ApprovalState, vote_refusal
from abreast.core.errors import AbreastError, RefusedError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import id_token_refusal
from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.states import DeploymentState
from abreast.deploy.chapters.approval import COUNTS, LINK, approval_decision, approval_request
from abreast.ledger.interface import Deployment
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Workspace, utc_now

_PROVEN = ", in a new run of a job that may have an ID token"


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote that is not cast yet: on which deployment, and by whom. ``link`` is the id of the link used, or ""."""

    deployment: Deployment
    plan: Plan
    rule: ApprovalRule
    events: Sequence[Event]
    person: str
    link: str = ""

    @property
    def request(self) -> ApprovalRequest:
        """What the person votes on."""
        return approval_request(self.plan, self.events)


def open_ballot(workspace: Workspace, ledger: SqliteLedger, requested: str | None) -> Ballot:
    """Return the vote of the person who runs this command, or for whom the link is that ``requested`` is.

    Raises UsageError if the deployment does not wait for an approval, RefusedError if it is too late, or for a link
    that does not hold.
    """
    claims = _read_link(workspace, ledger, requested) if requested and is_link(requested) else None
    chosen = (
        _deployment_of(ledger, claims) if claims else choose_deployment(ledger, requested, unfinished=not requested)
    )
    plan, events = ledger.stored_plan(chosen.id), ledger.events(chosen.id)
    if plan.approval is None or chosen.state is not DeploymentState.APPROVING:
        what = f"deployment {chosen.id} does not wait for an approval: it is {chosen.state}"
        raise (RefusedError if claims else UsageError)(what, next=f"abreast show {chosen.id}")
    if claims:
        _check_claims(claims, ledger, plan, events)
    before = approval_decision(plan, events, utc_now())
    if before.state is ApprovalState.EXPIRED:
        what = f"deployment {chosen.id} cannot be approved any more: {before.text}"
        again = "rollback" if plan.kind is DeploymentKind.ROLLBACK else "deploy"
        raise RefusedError(what, need="a new request", next=f"abreast {again} --env {plan.environment}")
    person = claims.person if claims else workspace.operator
    return Ballot(chosen, plan, plan.approval, events, person, link_id(requested) if claims and requested else "")


def _read_link(workspace: Workspace, ledger: SqliteLedger, link: str) -> LinkClaims:
    with suppress(ValueError):
        register_secrets({link, link_token(link)})
    claims: LinkClaims = load("abreast.wiring.approval_links:verified_claims")(workspace, ledger, link)
    return claims


def _deployment_of(ledger: SqliteLedger, claims: LinkClaims) -> Deployment:
    with suppress(UsageError):
        found = ledger.deployment(claims.deployment)
        if found.id == claims.deployment:
            return found
    raise RefusedError(
        f"the link of {claims.person} is for the deployment {claims.deployment}, which the record here does not have",
        need="a clone that reads the record of that deployment",
        next="abreast state show",
    )


def _check_claims(claims: LinkClaims, ledger: SqliteLedger, plan: Plan, events: Sequence[Event]) -> None:
    """Raise RefusedError if a link is not for the recorded plan, or not for now."""
    if claims.plan != ledger.plan_digest(plan.deployment):
        what = f"the link of {claims.person} is for another plan than the one that is recorded for {plan.deployment}"
        raise RefusedError(what, need="a link of its own for each plan", next=f"abreast show {plan.deployment}")
    asked = next(event.at for event in events if event.state is DeploymentState.APPROVING)
    if why := clock_refusal(claims, asked, max(event.at for event in events), utc_now()):
        raise RefusedError(why, need="the right time, before the link expires", next=f"abreast show {plan.deployment}")


def ballot_refusal(workspace: Workspace, ballot: Ballot) -> str:
    """Return why a vote would not count, "" if it would: by the recorded rule, and by a newer one of abreast.yml."""
    plan, now = ballot.plan, _newer_rule(workspace, ballot.plan)
    needs_id_token = ballot.rule.needs_id_token or (now is not None and now.needs_id_token)
    if needs_id_token and (refusal := id_token_refusal(workspace.identity)):
        return f"{plan.environment} has `identity: id-token`, and {refusal}"
    if needs_id_token and ballot.link:
        return f"{plan.environment} has `identity: id-token`, and no ID token proves who holds a link"
    if refusal := vote_refusal(ballot.rule, ballot.person, plan.authors):
        return refusal
    if now and ballot.person.casefold() not in map(str.casefold, now.people):
        return f"{ballot.person} may not approve any more: abreast.yml names {', '.join(now.people)}"
    return ""


def _newer_rule(workspace: Workspace, plan: Plan) -> ApprovalRule | None:
    """Return the rule of abreast.yml here, None if the recorded one holds: it is newer, or the only one to be read."""
    with suppress(AbreastError):
        source = load("abreast.wiring.repository:project_repository")(workspace.root)
        if source.has_ancestor(source.resolve_commit(), plan.commit):
            project = load("abreast.wiring.assembly:Assembly")(workspace).project
            rule: ApprovalRule | None = project.environment(plan.environment, needs_values=False).approval
            return rule
    return None


def cast(
    workspace: Workspace, ledger: SqliteLedger, ballot: Ballot, reason: str, *, approves: bool
) -> ApprovalDecision:
    """Record a vote, and return how far the approval is now. The same link says the same thing once.

    Raises RefusedError if the vote does not count, which is recorded, or if others cannot read it.
    """
    by, reason, why_not = ballot.person, redact_only(reason), ballot_refusal(workspace, ballot)
    how = f" by a signed link, which {workspace.identity} used" if ballot.link else ""
    said = f"{by} {'approves' if approves else 'rejects'}{how}{f': {reason}' if reason else ''}"
    message = f"{said}; it does not count: {why_not}" if why_not else said
    data = {"by": by, "approves": approves, "reason": reason, COUNTS: not why_not, LINK: ballot.link}
    # A number would be taken twice by two votes at the same moment, and the second one be lost.
    once = f"{ballot.link}/{approves}" if ballot.link and not why_not else secrets.token_hex(8)
    chosen = ballot.deployment.id
    ledger.append_events(
        Event(chosen, f"vote/{by}/{once}", EventKind.VOTED, message, chapter=Chapter.APPROVAL, data=data)
    )
    require_published(ledger)
    if why_not:
        others = [person for person in ballot.rule.people if not vote_refusal(ballot.rule, person, ballot.plan.authors)]
        need = (
            f"one of {', '.join(others)}{_PROVEN if ballot.rule.needs_id_token else ''}"
            if others
            else "people in `approval: {by: …}` who are no authors of it"
        )
        raise RefusedError(f"{why_not}; this is recorded", need=need, next=f"abreast show {chosen}")
    return approval_decision(ballot.plan, ledger.events(chosen), utc_now())
