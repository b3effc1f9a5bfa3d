"""What a service's type means for a deployment: how it goes live, who judges it, which settings it takes."""

from collections.abc import Iterator

from abreast.core.errors import PlatformError
from abreast.core.model import HealthSettings, Service
from abreast.platforms.render.resources import RenderService, ServiceType

SWITCH_NOTE = "goes live in the turn: Render has no candidates without users"
AUTO_DEPLOY_NOTE = "abreast turns off its auto-deploy"
DISK_NOTE = "with a disk: one instance, downtime between two versions, and no disk in build, pre-deploy and jobs"

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
    yield AUTO_DEPLOY_NOTE
    if (found and found.details.disk) or service.settings.get("disk"):
        yield DISK_NOTE
    if found and not found.address:
        yield f"is judged by Render's status alone{_unused_path(service)}: a {found.type.label} has no public address"
    if found and found.autoscales and "instances" in service.settings:
        what = f"`instances: {service.settings['instances']}` has no effect"
        yield f"{what}: autoscaling is on ({found.details.autoscaling})"


def _unused_path(service: Service) -> str:
    """Return the health path that nobody requests, if abreast.yml sets one."""
    path = service.health.path
    return f", not by {path}" if path != HealthSettings().path else ""


def require_fitting_settings(service: Service, found: RenderService) -> None:
    """Raise PlatformError for settings that a service of this type does not take."""
    declared = service.settings.keys() - {"service", "url", "port"}
    if unfit := sorted(declared - _SETTINGS[found.type]):
        raise PlatformError(
            f"the Render service {found.name} is a {found.type.label}, which takes no {', '.join(unfit)}",
            need=f"`render: {{service: {found.id}}}` of {service.name} without it",
            next="abreast docs platform render",
        )


def require_resumable(found: RenderService) -> None:
    """Raise PlatformError if the service was suspended by anyone but a user of its workspace."""
    if others := [who for who in found.suspenders if who != "user"]:
        raise PlatformError(
            f"the Render service {found.name} is suspended ({', '.join(others)})",
            need="a service that can be resumed",
            next=f"see {found.dashboard_url}",
        )
