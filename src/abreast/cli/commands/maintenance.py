"""``abreast maintenance``: users get a page instead of services, until it is switched off."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from abreast.cli.confirmation import required_reason
from abreast.cli.progress import print_progress
from abreast.cli.selection import known_environment, locate_workspace, read_record, require_known_environment
from abreast.cli.target import hold_environment, load_target
from abreast.cli.terminal_text import visible
from abreast.cli.views.maintenance import maintenance_document, maintenance_lines
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import ConfigError, UsageError
from abreast.core.maintenance import (
    DEFAULT_MESSAGE,
    DEFAULT_RETRY_AFTER,
    MaintenanceMode,
    address_range,
)
from abreast.core.model import LiveService, Service
from abreast.deploy.runtime.maintenance import (
    NOBODY_KNOWS,
    MaintenanceSwitch,
    inspect_maintenance,
    switch_maintenance,
)
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import utc_now

PATIENCE = 30.0
"""Seconds to wait until others can read that it was switched."""


def show(environment: str | None, *, as_json: bool) -> int:
    """Print which services are in maintenance: since when, by whom and why."""
    workspace = locate_workspace()
    with read_record(workspace) as ledger:
        require_known_environment(workspace, ledger, environment)
        found = {name: modes for name, modes in ledger.all_maintenance().items() if name == (environment or name)}
    if as_json:
        print(json.dumps({"environments": maintenance_document(found)}, indent=2))
        return 0
    for line in maintenance_lines(found):
        print(visible(line))
    if not any(found.values()):
        print("no service is in maintenance")
    return 0


def on(
    environment: str | None, services: tuple[str, ...], allow: tuple[str, ...], retry_after: float | None,
    message: str, reason: str, *, as_json: bool,
) -> int:  # fmt: skip
    """Put live services into maintenance, all named ones or none."""
    ranges = _ranges(allow)
    reason = required_reason(reason, on_stderr=as_json)
    target = load_target(environment, needs_values=False)
    name, workspace = target.environment.name, target.workspace
    mode = MaintenanceMode(
        reason, workspace.operator, utc_now(), message.strip() or DEFAULT_MESSAGE,
        max(1, round(retry_after or DEFAULT_RETRY_AFTER)), ranges, target.assembly.maintenance_page(name),
    )  # fmt: skip
    with workspace.open_ledger() as ledger, hold_environment(workspace, name, ledger, may_be_locked=True):
        chosen = _live_services(ledger.live_services(name), services, name)
        switch = MaintenanceSwitch(name, chosen, mode)
        return _switch(target.assembly, ledger, switch, as_json=as_json)


def off(environment: str | None, services: tuple[str, ...], reason: str, *, as_json: bool) -> int:
    """End maintenance: of the named services, or of all. Works without a record too, since platforms are asked."""
    workspace = locate_workspace()
    assembly = Assembly(workspace)
    with workspace.open_ledger() as ledger:
        name = known_environment(workspace, ledger, environment)
        with hold_environment(workspace, name, ledger, may_be_locked=True):
            chosen = _known_services(assembly, ledger, name, services)
            return _switch(assembly, ledger, MaintenanceSwitch(name, chosen, None, reason), as_json=as_json)


def _switch(assembly: Assembly, ledger: SqliteLedger, switch: MaintenanceSwitch, *, as_json: bool) -> int:
    """Switch, and say what there is now."""
    ports, before = assembly.ports(switch.environment, ledger), ledger.maintenance(switch.environment)

    async def inspect_and_switch() -> None:
        for diagnostic in await _inspect(ports, switch):
            print_progress(f"{diagnostic.about}: {diagnostic.what}", sys.stderr)
        await switch_maintenance(ports, switch, _report)

    asyncio.run(inspect_and_switch())
    if away := ledger.flush(PATIENCE):
        print_progress(f"recorded on this machine only: {away}. the next command here sends it", sys.stderr)
    found = {switch.environment: ledger.maintenance(switch.environment)}
    names = ", ".join(service.name for service in switch.services)
    if as_json:
        print(json.dumps({"environments": maintenance_document(found)}, indent=2))
    elif switch.mode:
        print(f"users of {names} get the maintenance page. next: abreast maintenance off --env {switch.environment}")
    else:
        print(f"users reach {names}" if before else "no service is in maintenance")
    return 0


async def _inspect(ports: Ports, switch: MaintenanceSwitch) -> Sequence[Diagnostic]:
    """Return what differs at platforms. Raises UsageError, that names what is possible, if a service cannot have it."""
    if switch.mode is None:
        return []
    found = await inspect_maintenance(ports, switch)
    faults = [diagnostic for diagnostic in found if diagnostic.level is DiagnosticSeverity.FAULT]
    if not faults:
        return found
    refused = {fault.about for fault in faults}
    possible = [service.name for service in switch.services if service.name not in refused]
    options = " ".join(f"--service {name}" for name in possible)
    needs = [fault.need for fault in faults if fault.need]
    raise UsageError(
        "; ".join(f"{fault.about}: {fault.what}" for fault in faults) + "; nothing was changed",
        need="; ".join(dict.fromkeys(needs)) or f"services that can: {', '.join(possible) or 'none here can'}",
        next=f"abreast maintenance on --env {switch.environment} {options}" if possible else "",
    )


async def _report(service: str, text: str) -> None:
    print_progress(f"{service}: {text}", sys.stderr)


def _ranges(texts: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(map(address_range, texts)))
    except ValueError as error:
        raise UsageError(f"--allow: {error}", need="such as 203.0.113.7 or 2001:db8::/32") from error


def _live_services(live: Mapping[str, LiveService], requested: Sequence[str], environment: str) -> tuple[Service, ...]:
    """Return the requested services as they are live, else all that users reach. Raises UsageError for others."""
    reached = {name: part.definition for name, part in live.items() if part.definition.has_address}
    missing = [name for name in requested if name not in live]
    if missing or not reached:
        raise UsageError(
            f"{', '.join(missing) or 'nothing'} is live in {environment}" if not missing
            else f"{', '.join(missing)} is not live in {environment}",
            need=f"one of: {', '.join(reached)}" if reached else "a service that is live",
            next=f"abreast status --env {environment}",
        )  # fmt: skip
    return tuple(live[name].definition for name in requested) if requested else tuple(reached.values())


def _known_services(
    assembly: Assembly, ledger: SqliteLedger, environment: str, requested: Sequence[str]
) -> tuple[Service, ...]:
    """Return the requested services, else those in maintenance, else all: of the ledger, or of abreast.yml."""
    known: dict[str, Service] = {}
    with suppress(ConfigError, UsageError):  # what is gone from abreast.yml can be in maintenance, too
        services = assembly.project.environment(environment, needs_values=False).services
        known = {service.name: service for service in services if service.has_address}
    known |= {name: part.definition for name, part in ledger.live_services(environment).items()}
    recorded = ledger.maintenance(environment)
    if missing := [name for name in requested if name not in known and name not in recorded]:
        listed = ", ".join(known) or "none is known"
        raise UsageError(f"there is no service {missing[0]!r} in {environment}", need=f"one of: {listed}")
    names = requested or [*recorded] or [*known]
    return tuple(known.get(name) or Service(name, NOBODY_KNOWS) for name in names)
