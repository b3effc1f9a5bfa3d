"""What was decided about commits in an environment: which may still go live."""

from collections.abc import Iterator

from abreast.core.commit_order import CommitOrder, Decision, find_overtaking
from abreast.core.errors import RefusedError
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.rollback import unlock_command
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_history import release_decisions
from abreast.ledger.interface import Ledger
from abreast.source.interface import Source


def superseded_reason(ports: Ports, plan: Plan) -> str:
    """Return why the commit of a plan must not go live any more, "" if it may, or if a release was asked for.

    Raises RefusedError if that cannot be found out.
    """
    if plan.kind is not DeploymentKind.DEPLOY or plan.release:
        return ""
    found = find_overtaking(_decisions(ports.ledger, plan), lambda other: _compare(ports.source, plan.commit, other))
    if found is None:
        return ""
    against, commit = found.against, plan.commit[:7]
    if found.order is CommitOrder.UNKNOWN:
        raise RefusedError(
            f"it is unknown whether {commit} is newer than {against.commit[:7]} ({against.release}): "
            "this clone does not have that commit, or not the history between them",
            need="both, so that an older commit does not replace a newer one",
            next=f"git fetch origin {against.commit}, or: abreast deploy --allow-older --reason …",
        )
    if found.decision is against:
        return f"{commit} is older than {against.commit[:7]} ({against.release}), which is live"
    decided = found.decision
    by = f" by {decided.author}" if decided.author else ""
    why = f": {decided.reason}" if decided.reason else ""
    part = "is" if found.order is CommitOrder.SAME else "is older than"
    out = f"{commit} {part} the commit of {against.release}, which was rolled back to {decided.release}{by}{why}"
    return f"{out}; to let it in again: {unlock_command(plan.environment, against.release)}"


def _decisions(ledger: Ledger, plan: Plan) -> Iterator[Decision]:
    """Yield what was decided on the services that a plan changes, newest first."""
    services = _changed(plan)
    for decision in release_decisions(ledger, plan.environment, is_preview=bool(plan.base)):
        if services & _changed(ledger.stored_plan(decision.deployment)):
            yield decision


def _changed(plan: Plan) -> set[str]:
    """Return the services whose version changes. Others can go along as they are, since they route to one."""
    return {
        part.name
        for part in plan.traffic_changes
        if part.previous is None or part.artifact is None or part.artifact != part.previous.artifact
    }


def _compare(source: Source, commit: str, other: str) -> CommitOrder:
    """Return the order of a commit, seen from another one. The usual answer, that it is newer, is asked for first."""
    if commit == other:
        return CommitOrder.SAME
    if source.has_ancestor(commit, other):
        return CommitOrder.NEWER
    is_older = source.has_ancestor(other, commit)
    if is_older is None:
        return CommitOrder.UNKNOWN
    return CommitOrder.OLDER if is_older else CommitOrder.APART
