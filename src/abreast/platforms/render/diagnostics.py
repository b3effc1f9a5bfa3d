"""What ``abreast doctor`` says of a service."""

from collections.abc import Iterator

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.model import Version
from abreast.platforms.render.deploys import short_source
from abreast.platforms.render.resources import RenderService, ServiceType
from abreast.platforms.render.service_types import DISK_NOTE


def diagnose_service(found: RenderService, live: Version | None) -> Iterator[Diagnostic]:
    """Yield what the service runs, and warn about what a deployment will change or cannot see."""
    running = f"runs {short_source(live.handle['of'])}" if live else "has no live deploy"
    yield Diagnostic(DiagnosticSeverity.OK, "", f"{found.name} ({found.type.label}) {running}")
    if found.auto_deploy == "yes":
        yield _warning("its auto-deploy is on", "auto-deploy off: the next deployment turns it off")
    if found.details.disk:
        yield _warning(DISK_NOTE, "an external database, to avoid downtime")
    if found.is_suspended:
        yield _warning("it is suspended", "it resumed: the next deployment resumes it")
    if found.type is ServiceType.WEB and not found.address:
        yield Diagnostic(
            DiagnosticSeverity.FAULT, "", f"{found.name} has no URL", "a web service with a public address"
        )
    if found.type is ServiceType.WEB and not found.details.health_check_path:
        yield _warning("it has no health check path", "one, or an unhealthy build goes live")


def _warning(what: str, need: str) -> Diagnostic:
    return Diagnostic(DiagnosticSeverity.WARNING, "", what, need)
