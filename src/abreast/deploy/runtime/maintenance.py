"""Maintenance of several services: all of them get it, or none. The ledger says before what is about to change."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import AbreastError, PlatformError, StateError, TransientError, UnavailableError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.maintenance import MaintenanceMode, MaintenancePage, MaintenancePhase
from abreast.core.model import Service
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import Ledger
from abreast.machine.tasks import run_all
from abreast.platforms.interface import InspectsMaintenance, MaintenanceMove, Reporter, SupportsMaintenance

ON, OFF = "maintenance on", "maintenance off"
"""The acts of the audit trail."""

NOBODY_KNOWS = ""
"""The platform of a service of which there is no more than the record of its maintenance."""


@dataclass(frozen=True, slots=True)
class MaintenanceSwitch:
    """Put services of an environment into maintenance, or end it if ``mode`` is None. ``drain`` is as of a move."""

    environment: str
    services: tuple[Service, ...]
    mode: MaintenanceMode | None
    why: str = ""
    drain: float = 0.0

    @property
    def act(self) -> str:
        """What the audit trail calls it."""
        return ON if self.mode else OFF


async def inspect_maintenance(ports: Ports, switch: MaintenanceSwitch) -> list[Diagnostic]:
    """Return a fault for each service that cannot have it, and what differs at its platform. Changes nothing."""
    found = await run_all(*(_inspect_service(ports, service, switch.mode) for service in switch.services))
    return [
        replace(diagnostic, about=service.name)
        for service, diagnostics in zip(switch.services, found, strict=True)
        for diagnostic in diagnostics
    ]


async def _inspect_service(ports: Ports, service: Service, mode: MaintenanceMode | None) -> Sequence[Diagnostic]:
    if not service.has_address:
        return [_fault(f"a {service.type.label} has no users to show a page to")]
    platform = ports.platforms[service.platform]
    if not isinstance(platform, SupportsMaintenance):
        return [_fault(f"{service.platform} has no maintenance mode")]
    if isinstance(platform, InspectsMaintenance):
        return await platform.inspect_maintenance(MaintenanceMove(service, mode))
    return []


def _fault(what: str) -> Diagnostic:
    return Diagnostic(DiagnosticSeverity.FAULT, "", what)


async def switch_maintenance(ports: Ports, switch: MaintenanceSwitch, report: Reporter) -> None:
    """Begin maintenance of all services, or end it; a second call changes nothing.

    If one cannot, the others are put back, and PlatformError says so. After a crash, the same call leads out: the
    ledger keeps the services that were on their way.
    """
    ledger, names = ports.ledger, [service.name for service in switch.services]
    recorded = await asyncio.to_thread(ledger.maintenance, switch.environment)
    before = settled_modes(recorded)
    on_their_way = {name: mode for name in names if (mode := _on_its_way(switch.mode, before.get(name)))}
    await _record(ledger, switch, {**recorded, **on_their_way}, "begun")
    failures = await _apply(ports, switch, dict.fromkeys(names, switch.mode), report)
    if failures:
        await _put_back(ports, switch, before, on_their_way, report)
        first = next(iter(failures.values()))
        # A provider that is away, or may answer a moment later, is waited for by whoever waits for it.
        kind = next((kind for kind in (UnavailableError, TransientError) if isinstance(first, kind)), PlatformError)
        command = f"abreast maintenance --env {switch.environment}"
        raise kind(f"{first.what}; so all services are as they were", next=command)
    others = {name: mode for name, mode in recorded.items() if name not in names}
    reached = {name: _continued(switch.mode, before.get(name)) for name in names} if switch.mode else {}
    await _record(ledger, switch, {**others, **reached}, "done")


def own_page(ports: Ports) -> MaintenancePage:
    """Return the project's own page; none if it cannot be read, or not any more."""
    try:
        return ports.maintenance_page()
    except StateError:
        raise
    except AbreastError:
        return MaintenancePage()


def settled_modes(recorded: Mapping[str, MaintenanceMode]) -> dict[str, MaintenanceMode]:
    """Return the services that were in maintenance before a switch that a crash cut short."""
    return {
        name: replace(mode, phase=MaintenancePhase.ON)
        for name, mode in recorded.items()
        if mode.phase is not MaintenancePhase.STARTING
    }


def _on_its_way(mode: MaintenanceMode | None, before: MaintenanceMode | None) -> MaintenanceMode | None:
    """Return what the ledger keeps of a service while it is switched, None if there is nothing to lead back from."""
    if before:
        return before if mode else replace(before, phase=MaintenancePhase.ENDING)
    return replace(mode, phase=MaintenancePhase.STARTING) if mode else None


def _continued(mode: MaintenanceMode, before: MaintenanceMode | None) -> MaintenanceMode:
    """Return the mode with the time since when it has held, if only its words change."""
    return replace(mode, since=before.since) if before else mode


async def _apply(
    ports: Ports, switch: MaintenanceSwitch, modes: Mapping[str, MaintenanceMode | None], report: Reporter
) -> dict[str, AbreastError]:
    """Switch all services, each platform in one call. Returns what failed, by platform."""
    platforms = sorted({service.platform for service in switch.services} - {NOBODY_KNOWS})

    async def apply_one(name: str) -> dict[str, AbreastError]:
        platform = ports.platforms[name]
        moves = [
            MaintenanceMove(service, modes.get(service.name), switch.drain)
            for service in switch.services
            if service.platform == name
        ]
        if not isinstance(platform, SupportsMaintenance):
            missing = PlatformError(f"{name} has no maintenance mode")
            return {name: missing} if any(move.mode for move in moves) else {}
        try:
            await platform.switch_maintenance(moves, report)
        except StateError:
            raise
        except AbreastError as error:
            return {name: error}
        return {}

    failed: dict[str, AbreastError] = {}
    for failure in await run_all(*map(apply_one, platforms)):
        failed |= failure
    return failed


async def _put_back(
    ports: Ports, switch: MaintenanceSwitch, before: Mapping[str, MaintenanceMode],
    on_their_way: Mapping[str, MaintenanceMode], report: Reporter,
) -> None:  # fmt: skip
    """Switch all services back. Raises PlatformError if one cannot: the ledger keeps it, for the next command."""
    page = own_page(ports)
    failures = await _apply(ports, switch, {name: replace(mode, page=page) for name, mode in before.items()}, report)
    left = {service.name for service in switch.services if service.platform in failures}
    stuck = {name: mode for name, mode in on_their_way.items() if name in left}
    await _record(ports.ledger, switch, {**before, **stuck}, "failed" if left else "turned back")
    if failures:
        raise PlatformError(
            f"not known to be as before: {', '.join(sorted(left))}: {next(iter(failures.values())).what}",
            need="their platform to answer",
            next=f"abreast maintenance off --env {switch.environment}, or the same command again",
        )


def forget_maintenance(ledger: Ledger, environment: str, services: Collection[str], why: str) -> None:
    """Record that services are not in maintenance any more, since what answered for them is gone."""
    recorded = ledger.maintenance(environment)
    staying = {name: mode for name, mode in recorded.items() if name not in services}
    if staying != recorded:
        ledger.record_maintenance(environment, staying, OFF, "done", why=why)


async def _record(
    ledger: Ledger, switch: MaintenanceSwitch, modes: Mapping[str, MaintenanceMode], outcome: str
) -> None:
    """Record the modes, without the content of pages: the project has it."""
    modes = {name: replace(mode, page=MaintenancePage(url=mode.page.url)) for name, mode in modes.items()}
    why = switch.mode.reason if switch.mode else switch.why
    await asyncio.to_thread(ledger.record_maintenance, switch.environment, modes, switch.act, outcome, why=why)
