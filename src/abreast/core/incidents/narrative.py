"""The report of an incident, made from the events of its deployment and of what followed. It is never recorded."""

from collections.abc import Iterator, Sequence

from abreast.core.events import Event, EventKind
from abreast.core.incidents.context import LaterSuccess, PersonRequest
from abreast.core.incidents.impact import affected_services, changed_migrations, user_impact
from abreast.core.incidents.lifecycle import (
    Opening,
    Phase,
    act_of,
    find_opening,
    phase_of,
    severity_of,
)
from abreast.core.incidents.model import (
    AffectedService,
    ChangedMigration,
    FailureExcerpt,
    Incident,
    IncidentAct,
    IncidentKind,
    IncidentStatus,
    TimelineEntry,
)
from abreast.core.model import Chapter
from abreast.core.next_commands import next_commands
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.rollback import read_cause
from abreast.core.states import DeploymentState

_TOLD_STATES = {
    DeploymentState.APPROVING: "waits for an approval",
    DeploymentState.TURNING_BACK: "the turn-back began",
    DeploymentState.STUCK: "stuck",
    DeploymentState.SUCCEEDED: "succeeded",
    DeploymentState.TURNED_BACK: "turned back",
    DeploymentState.CANCELLED: "cancelled",
}
_TOLD_KINDS = frozenset({EventKind.RESUMED, EventKind.ACCEPTED, EventKind.CONFIRMED, EventKind.UNLOCKED})
_TRAFFIC = {EventKind.STARTED: "traffic begins to move to", EventKind.FINISHED: "all users are on"}
_TURN_BACK_TITLES = {
    DeploymentState.TURNING_BACK: "failed and is being turned back",
    DeploymentState.STUCK: "failed and could not be turned back",
    DeploymentState.TURNED_BACK: "failed and was turned back",
    DeploymentState.CANCELLED: "was cancelled",
}
_TOLD_ACTS = {
    IncidentAct.NOTE: "note",
    IncidentAct.CLOSE: "closed",
    IncidentAct.REOPEN: "reopened",
    IncidentAct.DEGRADED: "degraded",
    IncidentAct.RECOVERED: "recovered",
}


def make_incident(
    plan: Plan, events: Sequence[Event], later: Sequence[LaterSuccess] = (), requests: Sequence[PersonRequest] = ()
) -> Incident | None:
    """Return the incident of a deployment, None if it has none.

    ``later`` is what succeeded there after it, ``requests`` what people asked for meanwhile, oldest first.
    """
    opening = find_opening(plan, events)
    if opening is None:
        return None
    phase = phase_of(opening, events, later)
    resolving = _resolving(later, phase)
    services = affected_services(opening, plan, events, resolving.at if resolving else "")
    migrations = changed_migrations(plan, events)
    severity, why = severity_of(plan.environment, user_impact(opening, phase, services, events))
    cause = _cause(plan, events)
    untils = [service.users_until for service in services if service.users_until]
    has_all = bool(untils) and len(untils) == sum(bool(service.users_from) for service in services)
    return Incident(
        id=plan.deployment, kind=opening.kind, project=plan.project, environment=plan.environment,
        release=plan.release, commit=plan.commit, author=plan.author, reason=plan.reason, run_url=plan.run_url,
        title=_title(plan, opening, phase, events, services), status=phase.status, severity=severity, why=why,
        detected=opening.detected, turn_back_began=opening.event.at,
        recovered=max(untils) if has_all else "",
        open_since=phase.open_since, resolved=phase.resolved, closed=phase.closed, cause=cause,
        services=services, timeline=tuple(_timeline(plan, events, opening, requests, resolving)),
        failures=tuple(_failures(events)), migrations=migrations,
        questions=tuple(_questions(opening, cause, services, migrations)),
        next_commands=_next_commands(plan, events, phase),
        newest=max(events[-1].seq, resolving.seq if resolving else 0),
    )  # fmt: skip


def _title(
    plan: Plan, opening: Opening, phase: Phase, events: Sequence[Event], services: Sequence[AffectedService]
) -> str:
    state = next(event.state for event in reversed(events) if event.state)
    if opening.kind is IncidentKind.DEGRADED:
        return f"{plan.environment} {'is' if phase.status is IncidentStatus.OPEN else 'was'} degraded on {plan.release}"
    if opening.kind is IncidentKind.TURN_BACK:
        return f"{plan.release} {_TURN_BACK_TITLES[state]} in {plan.environment}"
    bad = dict.fromkeys(service.bad_release for service in services if service.bad_release)
    done = "was rolled back" if state is DeploymentState.SUCCEEDED else "was to be rolled back"
    return f"{', '.join(bad) or 'what was live'} {done} to {plan.release} in {plan.environment}"


def _resolving(later: Sequence[LaterSuccess], phase: Phase) -> LaterSuccess | None:
    """Return the later deployment that resolved the incident, None if none did."""
    return next((success for success in later if success.at == phase.resolved), None)


def _cause(plan: Plan, events: Sequence[Event]) -> str:
    """Return the kind of failure that a person named last: in a note, on closing it, or as the reason of a rollback."""
    said = [plan.reason, *(event.message for event in events if act_of(event))]
    return next(filter(None, map(read_cause, reversed(said))), "")


def _timeline(
    plan: Plan,
    events: Sequence[Event],
    opening: Opening,
    requests: Sequence[PersonRequest],
    resolving: LaterSuccess | None,
) -> Iterator[TimelineEntry]:
    began = f"{plan.kind} {'to' if plan.kind is DeploymentKind.ROLLBACK else 'of'} {plan.release} began"
    entries = [(events[0].seq, TimelineEntry(events[0].at, began, plan.author))]
    for event in events:
        entries += [(event.seq, entry) for entry in _told(event, plan, opening)]
    for request in requests:
        entries.append((request.seq, TimelineEntry(request.at, f"{request.what}: {request.reason}", request.by)))
    if opening.kind is IncidentKind.ROLLBACK:
        live = {(part.previous.since, part.previous.release) for part in plan.rollouts if part.previous}
        entries += [(0, TimelineEntry(since, f"{release} went live")) for since, release in sorted(live)]
    if resolving:
        text = f"{resolving.release} is live (deployment {resolving.deployment})"
        entries.append((resolving.seq, TimelineEntry(resolving.at, text, resolving.author)))
    yield from (entry for _, entry in sorted(entries, key=lambda found: found[0]))


def _told(event: Event, plan: Plan, opening: Opening) -> Iterator[TimelineEntry]:
    """Yield what a timeline says of an event."""
    where = f"{event.service}: " if event.service else ""
    if act := act_of(event):
        text = f"{_TOLD_ACTS[act]}: {event.message}" if event.message else _TOLD_ACTS[act]
        yield TimelineEntry(event.at, text, str(event.data.get("by", "")))
    elif event.kind is EventKind.FAILED:
        detected = "detected: " if event.at == opening.detected else ""
        yield TimelineEntry(event.at, f"{detected}{where}{event.chapter} failed: {event.message}")
    elif event.state in _TOLD_STATES:
        yield TimelineEntry(event.at, ": ".join(filter(None, (_TOLD_STATES[event.state], event.message))))
    elif event.chapter in {Chapter.TURN, Chapter.TURN_BACK} and event.kind in _TRAFFIC:
        version = plan.release if event.chapter is Chapter.TURN else "the previous versions"
        yield TimelineEntry(event.at, f"{_TRAFFIC[event.kind]} {version}")
    elif event.kind in _TOLD_KINDS or event.chapter is Chapter.TURN_BACK:
        yield TimelineEntry(event.at, f"{where}{event.message or event.kind}", str(event.data.get("by", "")))
    elif event.kind is EventKind.VOTED:
        yield TimelineEntry(event.at, event.message, str(event.data.get("by", "")))


def _failures(events: Sequence[Event]) -> Iterator[FailureExcerpt]:
    for event in events:
        if event.kind is EventKind.FAILED:
            log = event.data.get("log", ())
            lines = tuple(map(str, log)) if isinstance(log, list | tuple) else ()
            yield FailureExcerpt(event.at, f"{event.service or 'deployment'}, {event.chapter}: {event.message}", lines)


def _questions(
    opening: Opening, cause: str, services: Sequence[AffectedService], migrations: Sequence[ChangedMigration]
) -> Iterator[str]:
    """Yield what the record does not say."""
    if not cause:
        yield "Which kind of failure was it? A note of the form `critical bug: …` says so."
    reached = [service for service in services if service.users_from]
    for service in reached:
        if service.has_database:
            yield f"Was data written by {service.name} {service.bad_release}, and is it right?"
    for migration in migrations:
        if migration.stays:
            yield f"The schema of {migration.service} keeps {migration.name}: {migration.stays}. What needs it?"
    if reached:
        yield f"How many requests failed? Unknown for {', '.join(service.name for service in reached)}."
    if reached and opening.kind is IncidentKind.TURN_BACK:
        yield "Why did no gate and no check of the candidate see it?"


def _next_commands(plan: Plan, events: Sequence[Event], phase: Phase) -> tuple[str, ...]:
    if phase.status is IncidentStatus.CLOSED:
        return ()
    state = next(event.state for event in reversed(events) if event.state)
    open_ = phase.status is IncidentStatus.OPEN
    out = next_commands(state, plan.kind, plan.deployment, plan.environment) if open_ else ()
    if open_ and not out and plan.kind is not DeploymentKind.ROLLBACK:
        out = (f"abreast rollback --env {plan.environment} --reason …",)
    return (*out, f"abreast incident {plan.deployment} --close --reason …")
