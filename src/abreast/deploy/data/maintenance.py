"""Maintenance around a migration that breaks the running version, where ``breaking: maintenance`` allows that."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import AbreastError, RefusedError, StateError
from abreast.core.events import EventKind
from abreast.core.maintenance import MaintenanceMode
from abreast.core.model import BreakingChangePolicy, Chapter, Service
from abreast.core.plan import DeploymentKind, Plan, ServicePlan
from abreast.deploy.runtime.maintenance import (
    MaintenanceSwitch,
    inspect_maintenance,
    own_page,
    settled_modes,
    switch_maintenance,
)
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run

_MIGRATING = frozenset({DeploymentKind.DEPLOY, DeploymentKind.ROLLBACK, DeploymentKind.MIGRATE})
"""The kinds of deployments that migrate databases for good."""

# ── the plan ───────────────────────────────────────────────────────────────────────────────────


def with_maintenance(plan: Plan) -> Plan:
    """Return the plan with the services whose users get the page while a migration runs that breaks what is live."""
    if plan.kind not in _MIGRATING:
        return plan
    return replace(plan, services=tuple(_with_maintenance(plan, part) for part in plan.services))


def _with_maintenance(plan: Plan, part: ServicePlan) -> ServicePlan:
    data = part.database_plan
    if data is None or data.breaking is not BreakingChangePolicy.MAINTENANCE or not data.is_forward:
        return part
    live, users = _live_definitions(plan), _users_of_database(plan, part)
    reached = sorted(name for name in _with_routers(live, users) if live[name].has_address)
    if not reached:
        return part
    until = "it has run" if plan.kind is DeploymentKind.MIGRATE else "traffic has switched"
    certainty = "" if data.risks else ", if the rehearsal shows that it breaks the running version"
    notes = [f"users of {', '.join(reached)} get the maintenance page from the migration until {until}{certainty}"]
    if others := [name for name in users if not live[name].has_address]:
        notes.append(f"no user reaches {', '.join(others)}, so the migration runs beside the version that is live")
    return replace(part, database_plan=replace(data, maintenance=tuple(reached)), notes=(*part.notes, *notes))


def _live_definitions(plan: Plan) -> dict[str, Service]:
    return {part.name: part.previous.definition for part in plan.services if part.previous}


def _users_of_database(plan: Plan, part: ServicePlan) -> list[str]:
    """Return the live services that use the database of one, by its URL: as their database, or as a variable."""
    used, live = part.service.database, _live_definitions(plan)
    urls = {used.url} if used else set()
    return [
        name
        for name, service in live.items()
        if name == part.name or urls & {service.database.url if service.database else "", *service.secrets.values()}
    ]


def _with_routers(live: Mapping[str, Service], users: list[str]) -> list[str]:
    """Return services, and the live ones that route to any of them."""
    found = set(users)
    while routers := {name for name, service in live.items() if found & {*service.routes.values()}} - found:
        found |= routers
    return [name for name in live if name in found]


async def refuse_without_maintenance(ports: Ports, plan: Plan) -> list[AbreastError]:
    """Return why users cannot get the page while a migration runs that is known to break the running version."""
    names = {name for part in plan.services for name in _announced(part)}
    if not names:
        return []
    refusals: list[AbreastError] = []
    live = _live_definitions(plan)
    try:
        mode = MaintenanceMode("", "", ports.now(), page=ports.maintenance_page())
        services = tuple(live[name] for name in sorted(names))
        found = await inspect_maintenance(ports, MaintenanceSwitch(plan.environment, services, mode))
        faults = [diagnostic for diagnostic in found if diagnostic.level is DiagnosticSeverity.FAULT]
        refusals += [
            RefusedError(
                f"{fault.about} cannot be in maintenance while its database is migrated: {fault.what}",
                need=fault.need or "a platform with maintenance, or a migration that the running version survives",
                next="abreast plan",
            )
            for fault in faults
        ]
    except AbreastError as error:
        refusals.append(error)
    return refusals


def _announced(part: ServicePlan) -> tuple[str, ...]:
    return part.database_plan.maintenance if part.database_plan and part.database_plan.risks else ()


# ── the deployment ─────────────────────────────────────────────────────────────────────────────


async def begin_maintenance(run: Run, part: ServicePlan) -> None:
    """Give users the page, if the migration of a service breaks the running version. Raises PlatformError.

    Services that a person put into maintenance stay as they are, and stay in it.
    """
    if not await asyncio.to_thread(_breaks_running_version, run, part):
        return
    assert part.database_plan
    async with run.maintenance:
        recorded = await asyncio.to_thread(run.ports.ledger.maintenance, run.plan.environment)
        live, held = _live_definitions(run.plan), settled_modes(recorded)
        services = tuple(live[name] for name in part.database_plan.maintenance if name not in held)
        if not services:
            return
        mode = MaintenanceMode(
            f"the migration of {part.name} breaks the running version", run.plan.author, run.ports.now(),
            page=own_page(run.ports), deployment=run.plan.deployment,
        )  # fmt: skip
        switch = MaintenanceSwitch(run.plan.environment, services, mode, drain=run.plan.drain)
        await switch_maintenance(run.ports, switch, run.reporter(Chapter.MIGRATE))
    note = f"users of {', '.join(service.name for service in services)} get the maintenance page"
    await run.record(f"{part.name}/maintenance", EventKind.NOTE, note, service=part.name, chapter=Chapter.MIGRATE)


def _breaks_running_version(run: Run, part: ServicePlan) -> bool:
    """Return whether the plan or the rehearsal says so; without a rehearsal nobody knows, so it counts as one."""
    data = part.database_plan
    if data is None or not data.maintenance:
        return False
    measured = [
        event.data.get("breaking")
        for event in run.ports.ledger.events(run.plan.deployment)
        if event.kind is EventKind.MEASURED and event.service == part.name
    ]
    return bool(data.risks) or not measured or any(measured)


async def return_to_maintenance(run: Run) -> None:
    """Give users the page again before they go back to a version that the schema may break. An error is recorded."""
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    begun = {event.service for event in events if event.chapter is Chapter.MIGRATE}
    for part in run.plan.database_changes:
        if part.name in begun:
            try:
                await begin_maintenance(run, part)
            except StateError:
                raise
            except AbreastError as error:
                text = f"users get no maintenance page while traffic turns back: {error.what}"
                await run.record(
                    f"{part.name}/no-maintenance", EventKind.NOTE, text, service=part.name, chapter=Chapter.TURN_BACK
                )


async def end_maintenance(run: Run, chapter: Chapter) -> None:
    """End the maintenance that this deployment began. That it cannot is recorded, with the command that can."""
    async with run.maintenance:
        recorded = await asyncio.to_thread(run.ports.ledger.maintenance, run.plan.environment)
        names = [name for name, mode in recorded.items() if mode.deployment == run.plan.deployment]
        if not names:
            return
        known = dict(_known_services(run, await asyncio.to_thread(_live_now, run)))
        services = tuple(known[name] for name in names)
        command = f"abreast maintenance off --env {run.plan.environment}"
        try:
            switch = MaintenanceSwitch(run.plan.environment, services, None, f"deployment {run.plan.deployment}")
            await switch_maintenance(run.ports, switch, run.reporter(chapter))
            note = f"users reach {', '.join(names)} again"
        except StateError:
            raise
        except AbreastError as error:
            note = f"users of {', '.join(names)} still get the maintenance page: {error.what}. next: {command}"
    await run.record(f"maintenance/{chapter}/{note}", EventKind.NOTE, note, chapter=chapter)


async def keep_maintenance(run: Run, why: str) -> None:
    """Record that users keep the page, since the running version cannot live with the schema that stays."""
    recorded = await asyncio.to_thread(run.ports.ledger.maintenance, run.plan.environment)
    names = [name for name, mode in recorded.items() if mode.deployment == run.plan.deployment]
    command = f"abreast maintenance off --env {run.plan.environment}"
    note = (
        f"users of {', '.join(names)} still get the maintenance page, since the schema stays: {why}. next: deploy a "
        f"version that can live with it, then: {command}"
    )
    if names:
        await run.record("maintenance/kept", EventKind.NOTE, note, chapter=Chapter.SETTLE)


def _live_now(run: Run) -> dict[str, Service]:
    return {name: live.definition for name, live in run.ports.ledger.live_services(run.plan.environment).items()}


def _known_services(run: Run, live: Mapping[str, Service]) -> Iterator[tuple[str, Service]]:
    """Yield the services of the plan, as they are live now if they are."""
    for part in run.plan.services:
        yield part.name, live.get(part.name, part.service)
