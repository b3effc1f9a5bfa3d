"""Which releases were put live in an environment, and which of them a rollback keeps out."""

import secrets
from collections.abc import Iterator, Mapping, Sequence

from abreast.core.commit_order import Decision
from abreast.core.errors import RefusedError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.rollback import KeptOut, kept_out, unlock_command
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.preview_history import latest_life
from abreast.ledger.interface import Deployment, Ledger

MAX_DEPLOYMENTS = 500
"""How many deployments back a decision is looked for."""


def release_decisions(ledger: Ledger, environment: str, *, is_preview: bool = False) -> Iterator[Decision]:
    """Yield the deployments that put a release live in an environment, newest first: of a preview, in its life."""
    for deployment in _released(ledger, environment, is_preview=is_preview):
        yield _decision(ledger, deployment)


def kept_out_releases(ledger: Ledger, environment: str, *, is_preview: bool = False) -> Mapping[str, KeptOut]:
    """Return the releases that rollbacks keep out of an environment, by version."""
    return kept_out(list(release_decisions(ledger, environment, is_preview=is_preview)))


def refuse_kept_out(ledger: Ledger, plan: Plan) -> tuple[RefusedError, ...]:
    """Return why the release that a plan names is kept out of its environment, nothing if it is not."""
    if not plan.kind.is_releasing or not plan.release:
        return ()
    out = kept_out_releases(ledger, plan.environment, is_preview=bool(plan.base))
    found = out.get(plan.release)
    next_command = unlock_command(plan.environment, plan.release)
    return (RefusedError(f"{found}, and is kept out", next=next_command),) if found else ()


def unlocked_event(out: KeptOut, by: str) -> Event:
    """Return the event that lets a release in again. It belongs to the rollback that took the release out."""
    data = {"release": out.release, "by": by}
    text = f"{by} let {out.release} in again"
    return Event(out.rollback.deployment, f"unlocked/{out.release}", EventKind.UNLOCKED, text, data=data)


def live_deployment(ledger: Ledger, environment: str, version: str) -> Deployment:
    """Return the deployment that put a release live in an environment last. Raises UsageError if none did."""
    release = ledger.release(version).version
    for deployment in ledger.deployments(environment, MAX_DEPLOYMENTS):
        succeeded = deployment.state is DeploymentState.SUCCEEDED
        if succeeded and deployment.kind.is_releasing and deployment.release == release:
            return deployment
    raise UsageError(
        f"{release} was never live in {environment}",
        need="a release whose deployment there succeeded",
        next=f"abreast history --env {environment}",
    )


def refuse_replaced(ledger: Ledger, deployment: Deployment) -> None:
    """Raise RefusedError if users do not have the release that a deployment put live any more."""
    environment = deployment.environment
    newest = next(iter(_released(ledger, environment, is_preview=False)), deployment)
    is_live = bool(ledger.live_services(environment))
    if is_live and newest.release == deployment.release:
        return
    raise RefusedError(
        f"{deployment.release} is not live in {environment}: {newest.release if is_live else 'nothing'} is",
        need="the release that users have",
        next=f"abreast confirm {newest.release} --env {environment}"
        if is_live
        else f"abreast status --env {environment}",
    )


def confirmed_event(deployment: Deployment, by: str, reason: str) -> Event:
    """Return the event that says that a person confirmed the release of a deployment, perhaps once more."""
    text = f"{by} confirmed {deployment.release}{f': {reason}' if reason else ''}"
    data = {"by": by, "reason": reason}
    # A number would be taken twice by two people at the same moment, and the second one be lost.
    return Event(deployment.id, f"confirmed/{by}/{secrets.token_hex(8)}", EventKind.CONFIRMED, text, data=data)


def confirmations(ledger: Ledger, deployment: str) -> tuple[str, ...]:
    """Return who confirmed the release of a deployment, in order, each time."""
    events = ledger.events(deployment)
    return tuple(str(event.data["by"]) for event in events if event.kind is EventKind.CONFIRMED)


def _released(ledger: Ledger, environment: str, *, is_preview: bool) -> Iterator[Deployment]:
    if is_preview:
        life = latest_life(ledger, environment)
        known: Sequence[Deployment] = () if life is None or life.is_over else life.deployments
    else:
        known = ledger.deployments(environment, MAX_DEPLOYMENTS)
    for deployment in known:
        if deployment.state is DeploymentState.SUCCEEDED and deployment.kind.is_releasing:
            yield deployment


def _decision(ledger: Ledger, deployment: Deployment) -> Decision:
    is_rollback = deployment.kind is DeploymentKind.ROLLBACK
    return Decision(
        deployment.kind, deployment.release, deployment.commit, deployment.author, deployment.reason,
        deployment.id, deployment.finished or deployment.started,
        _unlocked(ledger, deployment.id) if is_rollback else frozenset(),
    )  # fmt: skip


def _unlocked(ledger: Ledger, rollback: str) -> frozenset[str]:
    events = ledger.events(rollback)
    return frozenset(str(event.data["release"]) for event in events if event.kind is EventKind.UNLOCKED)
