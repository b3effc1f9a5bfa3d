"""Which release is asked for, where it was made, and with which definitions of services it is deployed elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import Service
from abreast.core.plan import Action, DeploymentKind
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.platform_state import effective_service
from abreast.deploy.runtime.preview_history import latest_life
from abreast.ledger.interface import Deployment, Ledger, Release


def requested_release(ledger: Ledger, environment: Environment, version: str) -> Release:
    """Return a release as it is deployed to an environment: by default the last one before the live that succeeded.

    Of a preview, since it was removed. Raises UsageError if there is none, RefusedError as ``_release_for``.
    """
    if version:
        return _release_for(ledger, ledger.release(version), environment)
    good = [
        deployment.release
        for deployment in _deployments(ledger, environment)
        if deployment.state is DeploymentState.SUCCEEDED
        and deployment.kind in {DeploymentKind.DEPLOY, DeploymentKind.ROLLBACK}
    ]
    older = [version for version in good if release_number(version) < release_number(good[0])] if good else []
    if not older:
        raise UsageError(
            f"{environment.name} has no release before {good[0] if good else 'the first'}",
            need="an earlier deployment that succeeded",
            next=f"abreast history --env {environment.name}",
        )
    return _release_for(ledger, ledger.release(older[0]), environment)


def release_number(version: str) -> int:
    """Return the number of a release, such as 7 of ``v7``."""
    return int(version.removeprefix("v"))


def _deployments(ledger: Ledger, environment: Environment) -> Sequence[Deployment]:
    if environment.base is None:
        return ledger.deployments(environment.name, limit=1000)
    life = latest_life(ledger, environment.name)
    return () if life is None or life.is_over else life.deployments


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
