"""Remove previews: when somebody says so, their pull request is closed, or nothing was deployed for a while."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from abreast.core.codec import dump
from abreast.core.errors import AbreastError, PlatformError
from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import Plan, ServicePlan
from abreast.core.previews import PreviewName
from abreast.core.states import DeploymentState
from abreast.deploy.data.preview_database import drop_preview_database
from abreast.deploy.runtime.maintenance import forget_maintenance
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.preview_history import latest_life, was_removed
from abreast.ledger.interface import Deployment, Ledger
from abreast.platforms.interface import HostsPreviews

_REMOVED_KEY = "removed"


@dataclass(frozen=True, slots=True)
class StandingPreview:
    """A preview that was deployed and not removed. ``deployment`` is its latest."""

    environment: str
    name: PreviewName
    deployment: Deployment


def standing_previews(ledger: Ledger) -> list[StandingPreview]:
    """Return the previews that were deployed and not removed since, by name."""
    latest: dict[str, Deployment] = {}
    for deployment in ledger.deployments(limit=100_000):
        latest.setdefault(deployment.environment, deployment)
    return [
        StandingPreview(environment, name, deployment)
        for environment, deployment in sorted(latest.items())
        if (name := PreviewName.parse(environment))
        and not was_removed(ledger, deployment)
        and latest_life(ledger, environment)
    ]


def expiry_reason(
    preview: StandingPreview, lifetimes: Mapping[str, float], now: str, opened: Collection[int] | None
) -> str:
    """Return why a preview is not needed any more, "" if it is.

    ``lifetimes``: seconds by environment that has previews; ``opened``: the open pull requests, None if unknown.
    """
    base, number = preview.name.base, preview.name.number
    if base not in lifetimes:
        return f"{base} has no previews any more"
    if opened is not None and number not in opened:
        return f"pull request {number} is not open"
    idle = datetime.fromisoformat(now) - datetime.fromisoformat(
        preview.deployment.finished or preview.deployment.started
    )
    if idle.total_seconds() > lifetimes[base]:
        return f"nothing was deployed for {idle.days} days" if idle.days else "nothing was deployed for a while"
    return ""


async def remove_preview(ports: Ports, environment: str, why: str, report: Callable[[str], None]) -> None:
    """Remove everything that was made for a preview: services, databases, the record of what is live.

    The caller holds the environment. It can be repeated until nothing is left, and on each machine that it ran on.
    Raises PlatformError that names what could not be removed.
    """
    life = await asyncio.to_thread(latest_life, ports.ledger, environment)
    if life is None:
        return
    parts = _deployed_parts(life.plans)
    faults = [fault for part in parts if (fault := await _remove_part(ports, environment, part, report))]
    if faults:
        raise PlatformError(
            f"{environment} is not wholly removed: {'; '.join(faults)}", next=f"abreast down --env {environment}"
        )
    platforms = {part.service.platform for part in parts}
    await asyncio.to_thread(_record_removal, ports.ledger, environment, life.deployments, platforms, why)


def _deployed_parts(plans: Sequence[Plan]) -> list[ServicePlan]:
    """Return every service that a deployment may have brought to a platform, for each place that it was given."""
    found: dict[str, ServicePlan] = {}
    for part in (part for plan in plans for part in plan.rollouts):
        service = part.service
        place = [part.name, service.platform, dump(service.settings), service.database and dump(service.database)]
        found.setdefault(json.dumps(place, sort_keys=True), part)
    return list(found.values())


async def _remove_part(ports: Ports, environment: str, part: ServicePlan, report: Callable[[str], None]) -> str:
    """Remove a service and its database. Returns what could not be removed, and why, "" if all is gone."""

    async def tell(name: str, text: str) -> None:
        report(f"{name}: {text}")

    try:
        platform = ports.platforms[part.service.platform]
        if isinstance(platform, HostsPreviews):
            await platform.remove_preview(part.service, tell)
        if part.service.database and part.service.database.copy:
            await asyncio.to_thread(drop_preview_database, ports, environment, part, report)
    except AbreastError as error:
        return f"{part.name}: {error.what}"
    return ""


def _record_removal(
    ledger: Ledger, environment: str, deployments: Sequence[Deployment], platforms: Collection[str], why: str
) -> None:
    """Record that nothing is live there any more. Deployments that no process runs any more end with it."""
    ledger.clear_live_services(environment, platforms)
    forget_maintenance(ledger, environment, ledger.maintenance(environment), why)
    for deployment in deployments:
        for state in _states_to_the_end(deployment.state):
            ledger.append_events(Event(deployment.id, f"removed/{state}", EventKind.STATE, why, state=state))
    ledger.append_events(Event(deployments[0].id, _REMOVED_KEY, EventKind.REMOVED, why))


def _states_to_the_end(state: DeploymentState) -> tuple[DeploymentState, ...]:
    """Return the states in which a deployment ends whose services are gone."""
    if state.is_final:
        return ()
    if state in {DeploymentState.WAITING, DeploymentState.TURNING_BACK}:
        return (DeploymentState.CANCELLED,)
    return DeploymentState.TURNING_BACK, DeploymentState.CANCELLED
