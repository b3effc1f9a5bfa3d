"""Render's maintenance mode of web services: https://docs.render.com/maintenance-mode."""

from collections.abc import Iterator
from contextlib import suppress

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.platforms.interface import MaintenanceMove, Reporter
from abreast.platforms.render.client import RenderClient
from abreast.platforms.render.resources import MaintenanceMode, RenderService, ServiceType
from abreast.provider_api.api_client import UnknownOutcomeError

FREE_PLAN = "free"
OWN_PAGE_NOTE = (
    "users get the page of Render, or that of `maintenance: {url: …}`, with status 503: no message, Retry-After or JSON"
)


def diagnose_maintenance(move: MaintenanceMove, found: RenderService) -> Iterator[Diagnostic]:
    """Yield what makes maintenance of a service impossible at Render, and what users get."""
    if found.type is not ServiceType.WEB:
        yield _fault(f"Render has a maintenance mode for web services only, and {found.name} is a {found.type.label}")
    if found.details.plan == FREE_PLAN:
        yield _fault(f"Render has a maintenance mode for paid plans only, and {found.name} is on the free one")
    if move.mode and move.mode.allow:
        need = "no --allow: its maintenance mode lets nobody through but Render's private network"
        yield _fault("Render cannot let addresses through", need)
    if move.mode and found.address and move.mode.page.url.startswith(found.address):
        yield _fault(f"{move.mode.page.url} is a page of {found.name} itself", "a page on another service")
    yield Diagnostic(DiagnosticSeverity.WARNING, "", OWN_PAGE_NOTE)


async def set_maintenance(render: RenderClient, move: MaintenanceMove, found: RenderService, report: Reporter) -> None:
    """Begin or end maintenance of a service, and see that Render says so. Raises PlatformError if it does not."""
    wanted = MaintenanceMode(enabled=move.mode is not None, uri=move.mode.page.url if move.mode else "")
    if not found.is_in(wanted):
        with suppress(UnknownOutcomeError):  # the next look tells
            await render.set_maintenance(found.id, wanted)
        if not (await render.get_service(found.id)).is_in(wanted):
            raise PlatformError(
                f"Render did not {'begin' if wanted.enabled else 'end'} maintenance of {found.name}",
                need="a paid web service",
                next=f"see {found.dashboard_url}",
            )
        await report(move.service.name, f"render: maintenance of {found.name} is {'on' if wanted.enabled else 'off'}")


def _fault(what: str, need: str = "") -> Diagnostic:
    return Diagnostic(DiagnosticSeverity.FAULT, "", what, need)
