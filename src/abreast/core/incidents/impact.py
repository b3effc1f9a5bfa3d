"""Whom an incident reached, and for how long, by the events of its deployment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from abreast.core.events import Event, EventKind
from abreast.core.incidents.lifecycle import Opening, Phase, UserImpact, act_of
from abreast.core.incidents.model import AffectedService, ChangedMigration, IncidentAct, IncidentKind, IncidentStatus
from abreast.core.model import Chapter
from abreast.core.plan import Plan, ServicePlan
from abreast.core.states import DeploymentState

STAYS = "stays"
"""The end of the key of an event that says why a schema stays."""


def affected_services(
    opening: Opening, plan: Plan, events: Sequence[Event], replaced: str
) -> tuple[AffectedService, ...]:
    """Return the services of an incident. ``replaced``: when a later deployment resolved it, "" if none did."""
    if opening.kind is IncidentKind.ROLLBACK:
        found = list(_rolled_back(plan, events))
    elif opening.kind is IncidentKind.TURN_BACK:
        found = list(_turned_back(plan, events))
    else:
        recovered = next((event.at for event in reversed(events) if act_of(event) is IncidentAct.RECOVERED), "")
        since = opening.event.at
        found = [_affected(part, plan.release, _previous_release(part), since, recovered) for part in plan.rollouts]
    return tuple(
        replace(service, users_until=replaced) if service.users_from and not service.users_until else service
        for service in found
    )


def _rolled_back(plan: Plan, events: Sequence[Event]) -> Iterator[AffectedService]:
    """Yield the services that are led back to an earlier release: users were on the bad one since it was live."""
    until = _finished(events, Chapter.TURN) if _ends_as(events, DeploymentState.SUCCEEDED) else ""
    for part in plan.rollouts:
        since = part.previous.since if part.previous else ""
        yield _affected(part, _previous_release(part), plan.release, since, until)


def _turned_back(plan: Plan, events: Sequence[Event]) -> Iterator[AffectedService]:
    since = next((event.at for event in events if _is(event, EventKind.STARTED, Chapter.TURN)), "")
    until = _finished(events, Chapter.TURN_BACK)
    named = [event.data["back"] for event in events if event.state is DeploymentState.TURNING_BACK and event.data]
    back = {name for names in named if isinstance(names, list | tuple) for name in names}
    for part in plan.traffic_changes:
        if part.name in back:
            yield _affected(part, plan.release, _previous_release(part), since, until if since else "")


def _affected(part: ServicePlan, bad: str, good: str, since: str, until: str) -> AffectedService:
    has_database = part.service.database is not None
    return AffectedService(part.name, part.service.platform, bad, good, since, until, has_database)


def user_impact(
    opening: Opening, phase: Phase, services: Sequence[AffectedService], events: Sequence[Event]
) -> UserImpact:
    """Return whether users are, or were, on the bad version."""
    states = [event.state for event in events if event.state]
    is_open = phase.status is IncidentStatus.OPEN
    were = any(service.users_from for service in services)
    on_it = any(service.users_from and not service.users_until for service in services)
    is_degraded = opening.kind is IncidentKind.DEGRADED or _degraded_now(events)
    return UserImpact(
        were_affected=were or is_degraded,
        are_affected=is_open and (on_it or is_degraded),
        is_stuck=is_open and bool(states) and states[-1] is DeploymentState.STUCK,
    )


def _degraded_now(events: Sequence[Event]) -> bool:
    told = [act for event in events if (act := act_of(event)) in {IncidentAct.DEGRADED, IncidentAct.RECOVERED}]
    return bool(told) and told[-1] is IncidentAct.DEGRADED


def changed_migrations(plan: Plan, events: Sequence[Event]) -> tuple[ChangedMigration, ...]:
    """Return the migrations of a deployment, each with why the schema has it still."""
    stays = {event.service: event.message for event in events if event.key.endswith(f"/{STAYS}")}
    return tuple(
        ChangedMigration(part.name, name, stays.get(part.name, ""))
        for part in plan.database_changes
        for name in _migration_names(part)
    )


def _migration_names(part: ServicePlan) -> tuple[str, ...]:
    data, used = part.database_plan, part.service.database
    assert data
    command = (used.command or "",) if data.command and used else ()
    return (*command, *data.up, *data.down)


def _previous_release(part: ServicePlan) -> str:
    return part.previous.release if part.previous else ""


def _finished(events: Sequence[Event], chapter: Chapter) -> str:
    """Return when a chapter ended well for the last time, "" if it never did."""
    return next((event.at for event in reversed(events) if _is(event, EventKind.FINISHED, chapter)), "")


def _is(event: Event, kind: EventKind, chapter: Chapter) -> bool:
    return event.kind is kind and event.chapter is chapter


def _ends_as(events: Sequence[Event], state: DeploymentState) -> bool:
    return any(event.state is state for event in events)
