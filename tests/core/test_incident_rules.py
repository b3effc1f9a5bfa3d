"""Incidents: when one begins, how far it is, how severe, and what its report says. Events are made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from abreast.core.events import Event, EventKind
from abreast.core.incidents.communication import communication, duration_text
from abreast.core.incidents.context import LaterSuccess
from abreast.core.incidents.model import Incident, IncidentKind, IncidentSeverity, IncidentStatus
from abreast.core.incidents.narrative import make_incident
from abreast.core.model import (
    BreakingChangePolicy,
    Chapter,
    DatabaseSettings,
    LiveService,
    Service,
    Version,
)
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, OnFailure, Plan, ServicePlan
from abreast.core.rollback import RollbackCause
from abreast.core.states import DeploymentState
from abreast.deploy.incident_news import incident_news

ID = "01K5DEPLOYMENT000000000000"
BEGAN = datetime(2026, 11, 27, 10, tzinfo=UTC)
SEV1, SEV2, SEV3, SEV4 = IncidentSeverity
OPEN, RESOLVED, CLOSED = IncidentStatus


def moment(second: float) -> str:
    return (BEGAN + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def state(value: DeploymentState, chapter: Chapter | None = None, message: str = "", **data: object) -> Event:
    return Event(ID, f"state/{value}", EventKind.STATE, message, state=value, chapter=chapter, data=data)


def step(chapter: Chapter, kind: EventKind = EventKind.STARTED, service: str | None = None, **more: Any) -> Event:  # noqa: ANN401 (Event's fields)
    return Event(ID, f"{service}/{chapter}/{kind}", kind, service=service, chapter=chapter, **more)


def act(name: str, message: str = "") -> Event:
    return Event(ID, f"incident/{name}", EventKind.INCIDENT, message, data={"act": name, "by": "ada"})


def history(*events: Event) -> list[Event]:
    """Return events one second apart, numbered from 1."""
    return [replace(event, seq=number, at=moment(number)) for number, event in enumerate(events, 1)]


def plan(environment: str = "production", kind: DeploymentKind = DeploymentKind.DEPLOY, **fields: Any) -> Plan:  # noqa: ANN401 (Plan's fields)
    live = LiveService(
        "api",
        "local",
        "v6",
        "a" * 40,
        "",
        "OLD",
        moment(-3600),
        Version("api-x", "api", (), ""),
        Service("api", "local"),
    )
    part = ServicePlan(Service("api", "local"), Action.DEPLOY, "changed", "b" * 40, previous=live)
    return Plan(ID, kind, "shop", environment, "v7" if kind is DeploymentKind.DEPLOY else "v5", "b" * 40, (part,), 1.0, 1.0,
                OnFailure.TOGETHER, author="ada", **fields)  # fmt: skip


PLANNED = Event(ID, "planned", EventKind.PLANNED, "v7 to production")
RUNNING = state(DeploymentState.RUNNING)
STAGED = (PLANNED, RUNNING, step(Chapter.BUILD), step(Chapter.STAGE, service="api"))
UNHEALTHY = step(Chapter.CHECK, EventKind.FAILED, "api", message="status 503", data={"log": ["Traceback"]})
BACK = state(DeploymentState.TURNING_BACK, message="api: status 503", back=["api"])
ENDED = state(DeploymentState.TURNED_BACK)
TURNED = (*STAGED, step(Chapter.TURN), step(Chapter.TURN, EventKind.FINISHED), step(Chapter.WATCH))
SICK = step(Chapter.WATCH, EventKind.FAILED, "api", message="status 503")
MOVED_BACK = (step(Chapter.TURN_BACK), step(Chapter.TURN_BACK, EventKind.FINISHED))
STUCK = (*TURNED, SICK, BACK, step(Chapter.TURN_BACK), state(DeploymentState.STUCK, message="the router is away"))
RECOVERED = (*TURNED, SICK, BACK, *MOVED_BACK, ENDED)


def incident(events: Sequence[Event], of: Plan | None = None, *later: LaterSuccess) -> Incident:
    found = make_incident(of or plan(), history(*events), later)
    assert found
    return found


def success(second: int) -> LaterSuccess:
    return LaterSuccess(second, moment(second), "01K5LATER", "v8", "bob")


@pytest.mark.parametrize(
    "events",
    [
        (PLANNED,),
        (PLANNED, RUNNING, state(DeploymentState.SUCCEEDED)),
        (PLANNED, RUNNING, step(Chapter.GATES, EventKind.FAILED), BACK, ENDED),
        (PLANNED, RUNNING, step(Chapter.BUILD), step(Chapter.BUILD, EventKind.FAILED), BACK, ENDED),
        (*STAGED, step(Chapter.STAGE, EventKind.STOPPED), BACK, state(DeploymentState.CANCELLED)),
        (PLANNED, state(DeploymentState.SUPERSEDED)),
    ],
    ids=["planned", "succeeded", "a gate", "a build", "a person cancelled before users saw it", "superseded"],
)
def test_what_is_no_incident(events: Sequence[Event]) -> None:
    assert make_incident(plan(), history(*events), ()) is None


@pytest.mark.parametrize(
    ("environment", "events", "severity", "status"),
    [
        ("production", (*STAGED, UNHEALTHY, BACK, ENDED), SEV4, RESOLVED),
        ("production", (*STAGED, UNHEALTHY, BACK), SEV4, OPEN),
        ("production", RECOVERED, SEV2, RESOLVED),
        ("staging", RECOVERED, SEV3, RESOLVED),
        ("production", (*TURNED, SICK, BACK, step(Chapter.TURN_BACK)), SEV1, OPEN),
        ("staging", STUCK, SEV1, OPEN),
        ("production", (*STUCK, BACK, *MOVED_BACK, ENDED), SEV2, RESOLVED),
        ("production", (*TURNED, step(Chapter.WATCH, EventKind.STOPPED), BACK, *MOVED_BACK, state(DeploymentState.CANCELLED)), SEV2, RESOLVED),
        ("production", (*RECOVERED, act("close", "done")), SEV2, CLOSED),
        ("production", (*RECOVERED, act("close", "done"), act("note", "still odd")), SEV2, CLOSED),
        ("production", (*RECOVERED, act("close"), act("reopen")), SEV2, OPEN),
        ("production", (*RECOVERED, act("degraded", "slow")), SEV1, OPEN),
        ("production", (*RECOVERED, act("close"), act("degraded"), act("recovered")), SEV2, RESOLVED),
        ("production", (PLANNED, RUNNING, state(DeploymentState.SUCCEEDED), act("degraded")), SEV1, OPEN),
        ("production", (PLANNED, RUNNING, state(DeploymentState.SUCCEEDED), act("degraded"), act("recovered")), SEV2, RESOLVED),
    ],
)  # fmt: skip
def test_severity_and_status(
    environment: str, events: Sequence[Event], severity: IncidentSeverity, status: IncidentStatus
) -> None:
    found = incident(events, plan(environment))
    assert (found.severity, found.status) == (severity, status)


ROLLBACK = (PLANNED, RUNNING, step(Chapter.TURN), step(Chapter.TURN, EventKind.FINISHED))


@pytest.mark.parametrize(
    ("events", "severity", "status"),
    [
        ((PLANNED, RUNNING), SEV1, OPEN),
        ((PLANNED, RUNNING, state(DeploymentState.APPROVING)), SEV1, OPEN),
        ((*ROLLBACK, state(DeploymentState.SUCCEEDED)), SEV2, RESOLVED),
        ((*ROLLBACK, SICK, BACK, *MOVED_BACK, ENDED), SEV1, OPEN),
        ((PLANNED, RUNNING, BACK, state(DeploymentState.TURNED_BACK, Chapter.APPROVAL)), SEV2, RESOLVED),
        ((PLANNED, RUNNING, BACK, state(DeploymentState.CANCELLED)), SEV2, RESOLVED),
    ],
    ids=["begun", "waits for people", "done", "failed", "rejected", "cancelled"],
)
def test_a_rollback_is_an_incident_from_its_beginning(
    events: Sequence[Event], severity: IncidentSeverity, status: IncidentStatus
) -> None:
    found = incident(events, plan(kind=DeploymentKind.ROLLBACK))
    assert (found.kind, found.severity, found.status) == (IncidentKind.ROLLBACK, severity, status)
    (service,) = found.services
    assert (service.bad_release, service.good_release, service.users_from) == ("v6", "v5", moment(-3600))


def test_a_later_success_resolves_what_is_open_and_nothing_else() -> None:
    failed = (*ROLLBACK, SICK, BACK, *MOVED_BACK, ENDED)
    of = plan(kind=DeploymentKind.ROLLBACK)
    assert incident(failed, of, success(1)).status is OPEN, "it was before"
    resolved = incident(failed, of, success(90))
    assert (resolved.status, resolved.resolved, resolved.recovered) == (RESOLVED, moment(90), moment(90))
    assert resolved.timeline[-1].text == "v8 is live (deployment 01K5LATER)"
    assert resolved.newest == 90
    closed = incident((*failed, act("close")), of, success(90))
    assert (closed.status, closed.resolved) == (CLOSED, "")


@pytest.mark.parametrize(
    ("events", "kind", "title"),
    [
        (RECOVERED, DeploymentKind.DEPLOY, "v7 failed and was turned back in production"),
        (STUCK, DeploymentKind.DEPLOY, "v7 failed and could not be turned back in production"),
        ((*TURNED, SICK, BACK), DeploymentKind.DEPLOY, "v7 failed and is being turned back in production"),
        ((*TURNED, BACK, *MOVED_BACK, state(DeploymentState.CANCELLED)), DeploymentKind.DEPLOY, "v7 was cancelled in production"),
        ((*ROLLBACK, state(DeploymentState.SUCCEEDED)), DeploymentKind.ROLLBACK, "v6 was rolled back to v5 in production"),
        ((*ROLLBACK, SICK, BACK, *MOVED_BACK, ENDED), DeploymentKind.ROLLBACK, "v6 was to be rolled back to v5 in production"),
    ],
)  # fmt: skip
def test_its_title_says_how_far_it_came(events: Sequence[Event], kind: DeploymentKind, title: str) -> None:
    assert incident(events, plan(kind=kind)).title == title


def test_users_are_on_a_bad_version_until_a_later_deployment_if_the_way_back_failed() -> None:
    failed = incident((*ROLLBACK, SICK, BACK, *MOVED_BACK, ENDED), plan(kind=DeploymentKind.ROLLBACK), success(90))
    assert [service.users_until for service in failed.services] == [moment(90)]


def test_the_report_says_when_for_how_long_and_what_nobody_knows() -> None:
    found = incident(RECOVERED)
    assert (found.detected, found.turn_back_began, found.recovered) == (moment(8), moment(9), moment(11))
    (service,) = found.services
    assert (service.users_from, service.users_until) == (moment(5), moment(11))
    assert [entry.text for entry in found.timeline] == [
        "deploy of v7 began", "traffic begins to move to v7", "all users are on v7",
        "detected: api: watch failed: status 503", "the turn-back began: api: status 503",
        "traffic begins to move to the previous versions", "all users are on the previous versions", "turned back",
    ]  # fmt: skip
    assert found.timeline[0].by == "ada"
    assert "How many requests failed? Unknown for api." in found.questions
    assert "Why did no gate and no check of the candidate see it?" in found.questions
    assert any(question.startswith("Which kind of failure") for question in found.questions)
    (excerpt,) = incident((*STAGED, UNHEALTHY, BACK, ENDED)).failures
    assert (excerpt.text, excerpt.log) == ("api, check: status 503", ("Traceback",))


def test_a_database_asks_more_questions() -> None:
    data = DatabasePlan(BreakingChangePolicy.WARN, up=("002_baskets.sql",))
    database = Service("api", "local", database=DatabaseSettings("${DATABASE_URL}"))
    of = plan()
    of = replace(of, services=(replace(of.services[0], service=database, database_plan=data),))
    stays = Event(ID, "api/stays", EventKind.NOTE, "nothing reverses it", "api", Chapter.SETTLE)
    found = incident((*TURNED, SICK, BACK, *MOVED_BACK, stays, ENDED), of)
    assert "Was data written by api v7, and is it right?" in found.questions
    assert any("keeps 002_baskets.sql: nothing reverses it" in question for question in found.questions)


@pytest.mark.parametrize("cause", RollbackCause)
def test_a_reason_or_a_note_names_the_kind_of_failure(cause: RollbackCause) -> None:
    of = plan(kind=DeploymentKind.ROLLBACK, reason=f"{cause}: why")
    rolled_back = (*ROLLBACK, state(DeploymentState.SUCCEEDED))
    assert incident(rolled_back, of).cause == cause
    assert incident((*rolled_back, act("note", "failed deployment: after all")), of).cause == "failed deployment"
    assert incident((*RECOVERED, act("note", f"{cause}: why"), act("note", "more"))).cause == cause


def test_what_is_said_of_it_follows_the_template() -> None:
    lines = list(communication(incident(STUCK), moment(605)))
    assert lines == [
        "Subject: [INCIDENT] Production Deployment Issue - SEV1",
        "",
        "Impact: it is stuck: a person is needed: api v7, for 10 minutes at most; requests failed: unknown",
        "Status: open since 2026-11-27 10:00:09 UTC",
        f"ETA: unknown; next: abreast resume {ID}",
        "Actions: turn-back of v7 began at 2026-11-27 10:00:09 UTC",
        "",
        "Updates will be provided every 15 minutes.",
    ]
    over = list(communication(incident(RECOVERED), moment(605)))
    assert over[4] == "ETA: resolved at 2026-11-27 10:00:12 UTC"
    assert over[-1] == "No further updates are planned."
    assert [duration_text(seconds) for seconds in (0, 1, 60, 125)] == [
        "0 seconds",
        "1 second",
        "1 minute",
        "2 minutes 5 seconds",
    ]


def test_each_quarter_of_an_hour_has_one_reminder_on_every_machine() -> None:
    stuck = incident(STUCK)

    def told(second: float, of: Incident = stuck) -> list[tuple[str, str]]:
        return [(news.kind.value, news.at) for news in incident_news(of, moment(second))]

    opened = ("incident-opened", moment(9))
    assert told(9 + 899) == [opened]
    assert told(9 + 900) == told(9 + 1799) == [opened, ("incident-reminder", moment(9 + 900))]
    assert told(9 + 2000) == [opened, ("incident-reminder", moment(9 + 1800))]
    assert told(9 + 86400 + 901) == [("incident-reminder", moment(9 + 86400 + 900))], "that it began is no news"
    assert told(5000, incident(RECOVERED)) == [opened, ("incident-resolved", moment(12))]
    closed = incident((*RECOVERED, act("close", "a leak")))
    (_, _, last) = incident_news(closed, moment(5000))
    assert (last.kind, last.at, last.text.splitlines()[1]) == ("incident-closed", moment(13), "closed: a leak (ada)")
