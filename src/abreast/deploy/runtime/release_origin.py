"""Where a release was made, and with which definitions of services it is deployed elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError
from abreast.core.model import DeploymentKind, Plan
from abreast.ledger.interface import Ledger, Release, ReleasePart


def release_for(ledger: Ledger, release: Release, environment: Environment) -> Release:
    """Return a release as it is deployed to an environment: one that was made elsewhere, with this one's definitions.

    A definition has the sites, the variables and the databases of its environment. Raises RefusedError between a
    preview and any other environment: what is in one is not meant for the other.
    """
    made_by = _made_by(ledger, release.version)
    if made_by is None or made_by.environment == environment.name:
        return release
    if made_by.base or environment.base:
        raise RefusedError(
            f"{release.version} is a release of {made_by.environment}, not of {environment.name}",
            need="a release of the same environment: previews and other environments do not exchange them",
            next=f"abreast history --env {environment.name}",
        )
    return replace(release, parts=_parts_here(release.parts, environment))


def _parts_here(parts: Mapping[str, ReleasePart], environment: Environment) -> Mapping[str, ReleasePart]:
    here = {service.name: service for service in environment.services}
    return {name: replace(part, definition=here[name]) for name, part in parts.items() if name in here}


def _made_by(ledger: Ledger, version: str) -> Plan | None:
    """Return the plan of the first deployment of a release, None if the record does not have it."""
    deployments = reversed(ledger.deployments(limit=100_000))
    made = (found for found in deployments if found.release == version and found.kind is DeploymentKind.DEPLOY)
    first = next(made, None)
    return ledger.stored_plan(first.id) if first else None
