"""What platforms say of a plan: which services have to move along, what is live there now, what cannot be done."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from abreast.core.errors import UnknownVersionError, UsageError
from abreast.core.model import Service
from abreast.core.plan import Action, ServicePlan
from abreast.core.strategy import Strategy, decide_strategy
from abreast.deploy.runtime.platform_support import require_strategy
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_inspection import release_notes
from abreast.platforms.interface import Capabilities, Platform, ReportsLiveVersion, ReservesUrl


def routes_between_services(ports: Ports, parts: Sequence[ServicePlan]) -> dict[str, list[str]]:
    """Return, by service, the services that it routes users to and whose URL changes with this deployment.

    Raises UsageError if a service has a URL per version and no service routes to it: users could not follow.
    """
    capabilities = {
        part.name: capabilities_of(ports, effective_service(part)) for part in parts if part.action is not Action.REMOVE
    }
    moving = {part.name for part in parts if part.action is Action.DEPLOY and _may_change_address(ports, part)}
    routes = {
        name: [other for other in capability.routes_to if other in moving] for name, capability in capabilities.items()
    }
    routed = {target for capability in capabilities.values() for target in capability.routes_to}
    if unrouted := {name for name, capability in capabilities.items() if capability.address_per_version} - routed:
        raise UsageError(
            f"each version of {min(unrouted)} has its own URL, and no service routes users to it",
            need=f"a service that does, such as one on netlify with `routes: {{/api: {min(unrouted)}}}`",
        )
    return routes


def effective_service(part: ServicePlan) -> Service:
    """Return the service as it will be live: the previous definition if it is kept."""
    return part.previous.definition if part.action is Action.KEEP and part.previous else part.service


def _may_change_address(ports: Ports, part: ServicePlan) -> bool:
    """Whether the URL of the service may change, so that services that route to it must be deployed too.

    It may if versions have their own URLs, before or now, or if the platform or its settings change.
    """
    if part.previous is None or capabilities_of(ports, part.service).address_per_version:
        return True
    old, new = part.previous.definition, part.service
    moved = (old.platform, dict(old.settings)) != (new.platform, dict(new.settings))
    return moved or capabilities_of(ports, old).address_per_version


def capabilities_of(ports: Ports, service: Service) -> Capabilities:
    """Return what the platform of a service can do with it."""
    return ports.platforms[service.platform].capabilities(service)


def rollout_capabilities(ports: Ports, part: ServicePlan) -> Capabilities:
    """Return what the platform can do with a service by the strategy of its plan."""
    return capabilities_of(ports, part.rollout_service)


async def with_platform_state(ports: Ports, part: ServicePlan) -> ServicePlan:
    """Return the part with what its platform serves now, which a turn-back restores, its strategy and its notes.

    Raises UsageError for a strategy that the platform does not have.
    """
    if part.action is Action.KEEP:
        return part
    platform = ports.platforms[part.service.platform]
    version_before = None
    if isinstance(platform, ReportsLiveVersion):
        with suppress(UnknownVersionError):
            version_before = await platform.live_version(part.service)
    notes = part.notes
    if part.action is Action.DEPLOY:
        require_strategy(ports.platforms, part.service)
        part = replace(part, strategy=_strategy(platform, part))
        notes = (
            *_strategy_notes(part),
            *_deploy_notes(platform, part.rollout_service),
            *await release_notes(ports, part),
        )
    reserved_url = ""
    if part.action is Action.DEPLOY and isinstance(platform, ReservesUrl):
        reserved_url = await platform.reserve_url(part.service, part.previous)
    if version_before and part.previous and not part.previous.version.handle.items() <= version_before.handle.items():
        notes += ("the live version was not deployed by abreast; a turn-back restores it",)
    if part.action is Action.REMOVE:
        notes += tuple(_removal_notes(platform, part))
    return replace(part, version_before=version_before, notes=notes, reserved_url=reserved_url)


def _removal_notes(platform: Platform, part: ServicePlan) -> Iterator[str]:
    """Yield what becomes of the place of a service, and of its data, which go by its name."""
    capabilities = platform.capabilities(part.service)
    if part.taken_over_by:
        yield f"its place at {platform.name} is taken by {part.taken_over_by}"
    elif not capabilities.can_unpublish:
        yield f"{platform.name} cannot unpublish it: it stays live, and abreast no longer manages it"
    with suppress(OSError):  # it is not there, or of another user
        if capabilities.data and any(capabilities.data.iterdir()):
            yield f"its data stay in {capabilities.data}: no service of another name gets them"


def _strategy(platform: Platform, part: ServicePlan) -> Strategy | None:
    before = part.previous if part.previous and part.previous.platform == platform.name else None
    live = before.definition.strategy if before else None
    return decide_strategy(part.service.strategy, platform.capabilities(part.service).strategies, live)


def _strategy_notes(part: ServicePlan) -> tuple[str, ...]:
    """Return why the strategy is another one than abreast.yml says, if what is live is the reason."""
    before = part.previous
    if before is None or part.strategy is not before.definition.strategy or part.strategy is part.service.strategy:
        return ()
    return (f"{before.release}, which is live, is deployed by {part.strategy}: it runs beside no other version",)


def _deploy_notes(platform: Platform, service: Service) -> tuple[str, ...]:
    """Return what the platform cannot do with a service, also of what it routes to others."""
    capabilities = platform.capabilities(service)
    unrouted = [path for path, target in service.routes.items() if target not in capabilities.routes_to]
    if not unrouted:
        return capabilities.notes
    what = f"{platform.name} does not route {', '.join(unrouted)}: whatever serves the site there has to"
    return (*capabilities.notes, what)
