"""What a service's type means for a deployment: how it goes live, who judges it, which settings it takes."""

from collections.abc import Iterator

from abreast.core.errors import PlatformError
from abreast.core.model import HealthSettings, Service
from abreast.core.model import ServiceType as DeclaredType
from abreast.core.strategy import Strategy
from abreast.machine.cron_schedule import UTC_NAME, CronSchedule
from abreast.platforms.render.plans import plan_for
from abreast.platforms.render.resources import RenderService, ServiceType

CRON_FIELDS = 5
SWITCH_NOTE = "goes live in the turn: Render has no candidates without users"
AUTO_DEPLOY_NOTE = "abreast turns off its auto-deploy"
DISK_NOTE = "with a disk: one instance, downtime between two versions, and no disk in build, pre-deploy and jobs"

_EXPECTED = {DeclaredType.WORKER: ServiceType.WORKER, DeclaredType.SCHEDULED: ServiceType.CRON}
"""What a service must be at Render, if abreast.yml says what it is."""

_CRON_SETTINGS = frozenset({"image", "job", "secret_files"})
_SETTINGS = {
    ServiceType.STATIC: frozenset({"secret_files"}),
    ServiceType.CRON: _CRON_SETTINGS,
    **dict.fromkeys(
        (ServiceType.WEB, ServiceType.PRIVATE, ServiceType.WORKER),
        _CRON_SETTINGS | {"instances", "autoscaling", "pre_deploy", "disk"},
    ),
}


def plan_notes(service: Service, found: RenderService | None) -> tuple[str, ...]:
    """Return what a plan says of the service; less before Render was asked (``found`` is None)."""
    return tuple(_notes(service, found))


def _notes(service: Service, found: RenderService | None) -> Iterator[str]:
    is_cron = str(service.settings.get("service")).startswith("crn-")
    schedule = found.details.schedule if found else None
    yield (
        f"runs from its next run on{f' ({schedule})' if schedule else ''}, not in the turn" if is_cron else SWITCH_NOTE
    )
    if service.schedule and schedule and service.schedule != schedule:
        yield f"its schedule at Render is {schedule}; the turn sets {service.schedule}"
    if service.release:
        yield f"`{service.release.run}` runs at Render before each new build goes live, as its pre-deploy command"
    yield AUTO_DEPLOY_NOTE
    plan = plan_for(service.resources)
    if plan and found and found.details.plan != plan:
        yield f"its plan at Render is {found.details.plan}; the turn sets {plan}, which has {service.resources}"
    if _has_disk(service, found):
        yield DISK_NOTE
    if found and not found.address:
        yield f"is judged by Render's status alone{_unused_path(service)}: a {found.type.label} has no public address"
    if found and found.autoscales and "instances" in service.settings:
        what = f"`instances: {service.settings['instances']}` has no effect"
        yield f"{what}: autoscaling is on ({found.details.autoscaling})"


def strategies(service: Service, found: RenderService | None) -> tuple[Strategy, ...]:
    """Return how users get to the next version: Render starts it before the previous one stops, but with a disk."""
    return (Strategy.RECREATE,) if _has_disk(service, found) else ()


def _has_disk(service: Service, found: RenderService | None) -> bool:
    return bool((found and found.details.disk) or service.settings.get("disk"))


def _unused_path(service: Service) -> str:
    """Return the health path that nobody requests, if abreast.yml sets one."""
    path = service.health.path
    return f", not by {path}" if path != HealthSettings().path else ""


def require_fitting_settings(service: Service, found: RenderService) -> None:
    """Raise PlatformError for settings that a service of this type does not take."""
    declared = service.settings.keys() - {"service", "url", "port"}
    if service.resources and found.type is ServiceType.STATIC:
        raise PlatformError(
            f"{service.name} has `resources`, and the Render service {found.name} is a {found.type.label}",
            need=f"{service.name} without them",
            next="abreast docs resources",
        )
    if unfit := sorted(declared - _SETTINGS[found.type]):
        raise PlatformError(
            f"the Render service {found.name} is a {found.type.label}, which takes no {', '.join(unfit)}",
            need=f"`render: {{service: {found.id}}}` of {service.name} without it",
            next="abreast docs platform render",
        )


def require_declared_type(service: Service, found: RenderService) -> None:
    """Raise PlatformError if the service is not at Render what abreast.yml says, or cannot do what that asks for."""
    expected = _EXPECTED.get(service.type)
    if expected and found.type is not expected:
        raise PlatformError(
            f"{service.name} is a {service.type.label}, and the Render service {found.name} is a {found.type.label}",
            need=f"the id of a {expected.label} in `render: {{service: …}}`",
            next="abreast docs platform render",
        )
    timing = CronSchedule.parse(service.schedule or "")
    if timing.timezone != UTC_NAME:
        raise PlatformError(
            f"the schedule of {service.name} is {timing.label}, and Render starts cron jobs in UTC",
            need=f"`schedule` in UTC, without `timezone: {timing.timezone}`",
            next="abreast docs service",
        )
    if service.schedule and len(service.schedule.split()) != CRON_FIELDS:
        raise PlatformError(
            f"the schedule of {service.name} is {service.schedule}, and Render knows no seconds",
            need="a schedule of five fields, such as 0 3 * * *",
            next="abreast docs service",
        )
    takes_command = "pre_deploy" in _SETTINGS[found.type]
    if service.release and (not takes_command or "pre_deploy" in service.settings):
        why = "sets its pre-deploy command too" if takes_command else f"runs as a {found.type.label}, which has none"
        raise PlatformError(
            f"{service.name} has a `release` command, and on Render it {why}",
            need="one of both" if takes_command else f"{service.name} without `release`",
            next="abreast docs release",
        )


def require_resumable(found: RenderService) -> None:
    """Raise PlatformError if the service was suspended by anyone but a user of its workspace."""
    if others := [who for who in found.suspenders if who != "user"]:
        raise PlatformError(
            f"the Render service {found.name} is suspended ({', '.join(others)})",
            need="a service that can be resumed",
            next=f"see {found.dashboard_url}",
        )
