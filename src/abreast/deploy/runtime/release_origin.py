"""Which release is asked for, where it was made, and with which definitions of services it is deployed elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import Service
from abreast.core.plan import Action, DeploymentKind
from abreast.core.rollback import choose_target
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.platform_state import effective_service
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_history import confirmations, live_deployment, release_decisions
from abreast.ledger.interface import Deployment, Ledger, Release


def requested_release(ports: Ports, environment: Environment, version: str) -> tuple[Release, tuple[str, ...]]:
    """Return a release as it is deployed to an environment: by default the last good one before the live one.

    With it, why newer ones were passed over, and what of it is missing and built anew.
    Raises UsageError if there is none, RefusedError for the second rollback in a row that names no release, and as
    ``_release_for``.
    """
    if version:
        fault = _artifact_fault(ports, version)
        return _release_for(ports.ledger, ports.ledger.release(version), environment), (fault,) if fault else ()
    decisions = list(release_decisions(ports.ledger, environment.name, is_preview=environment.base is not None))
    target = choose_target(decisions, partial(_artifact_fault, ports), partial(_is_live, ports.ledger, environment))
    if target.release and not target.why_not:
        notes = (*target.passed_over, *_confirmation_notes(ports.ledger, environment, target.release))
        return _release_for(ports.ledger, ports.ledger.release(target.release), environment), notes
    if target.further:
        raise RefusedError(
            f"{environment.name}: {target.why_not}",
            need="the release to go back to, if that was not enough",
            next=f"abreast rollback --env {environment.name} --to {target.further} --reason …",
        )
    raise UsageError(
        f"{environment.name} cannot be rolled back: {target.why_not}",
        need="an earlier deployment that succeeded, whose artifacts still exist",
        next=f"abreast history --env {environment.name}",
    )


def _confirmation_notes(ledger: Ledger, environment: Environment, version: str) -> Iterator[str]:
    """Yield who confirmed the release that a rollback chose, if somebody did."""
    people = dict.fromkeys(confirmations(ledger, live_deployment(ledger, environment.name, version).id))
    if people:
        yield f"{version} was confirmed by {', '.join(people)}"


def _is_live(ledger: Ledger, environment: Environment, version: str) -> bool:
    """Whether the services of a release are what is live, with the same artifacts and definitions."""
    parts = _release_for(ledger, ledger.release(version), environment).parts
    live = ledger.live_services(environment.name)
    return parts.keys() == live.keys() and all(
        (now.artifact, now.definition) == (parts[name].artifact, parts[name].definition) for name, now in live.items()
    )


def _artifact_fault(ports: Ports, version: str) -> str:
    """Return which artifacts of a release are gone, "" if none is."""
    parts = ports.ledger.release(version).parts.values()
    gone = [part.service for part in parts if not ports.artifacts.has(part.artifact)]
    return f"{version} would be built anew, since its artifacts are gone: {', '.join(gone)}" if gone else ""


def _release_for(ledger: Ledger, release: Release, environment: Environment) -> Release:
    """Return a release as it is deployed to an environment: one that was made elsewhere, with this one's definitions.

    A definition has the sites, the variables and the databases of its environment. Raises RefusedError between a
    preview and any other environment: what is in one is not meant for the other.
    """
    made_by = _made_by(ledger, release.version)
    if made_by is None or made_by.environment == environment.name:
        return release
    if environment.base or ledger.stored_plan(made_by.id).base:
        raise RefusedError(
            f"{release.version} is a release of {made_by.environment}, not of {environment.name}",
            need="a release of the same environment: previews and other environments do not exchange them",
            next=f"abreast history --env {environment.name}",
        )
    here = _definitions_when_live(ledger, environment, release.version)
    parts = {name: replace(part, definition=here[name]) for name, part in release.parts.items() if name in here}
    return replace(release, parts=parts)


def _definitions_when_live(ledger: Ledger, environment: Environment, version: str) -> Mapping[str, Service]:
    """Return the services as they were when a release was live in an environment, else as they are configured."""
    for deployment in ledger.deployments(environment.name, limit=1000):
        if deployment.release == version and deployment.state is DeploymentState.SUCCEEDED:
            parts = ledger.stored_plan(deployment.id).services
            return {part.name: effective_service(part) for part in parts if part.action is not Action.REMOVE}
    return {service.name: service for service in environment.services}


def _made_by(ledger: Ledger, version: str) -> Deployment | None:
    """Return the first deployment of a release, None if the record does not have it."""
    deployments = reversed(ledger.deployments(limit=100_000))
    return next(
        (found for found in deployments if (found.release, found.kind) == (version, DeploymentKind.DEPLOY)), None
    )
