"""PagerDuty pages for failures of production only, and closes what is over. Its own client holds the receiver true."""

from collections.abc import Iterator

import httpx2
import pytest
from pagerduty import EventsApiV2Client, HttpError

from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.notify.interface import NotificationError, Notifier, Occurrence, OccurrenceKind
from abreast.notify.message_notifier import MessageNotifier
from abreast.testing.platforms.fault_injection import FaultKind
from abreast.testing.receivers.pagerduty import ROUTING_KEY, PagerDutyService
from notified_snapshots import Memory, snapshot
from notify_receivers import create_notifier, fail, send_test, served, tell, tell_occurrence, tell_whole_deployment
from openapi_validator import validate_emulator

KEY = "abreast/shop/production"
FAILED_AT, RESUMED_AT = "2026-11-27T03:00:00.000Z", "2026-11-28T03:00:00.000Z"


@pytest.fixture
def pagerduty() -> Iterator[tuple[PagerDutyService, str]]:
    service = PagerDutyService()
    with validate_emulator(service, "pagerduty"), served(service.app) as url:
        yield service, url


def notifier(url: str, **settings: object) -> Notifier:
    values = {"routing_key": "${PAGERDUTY_ROUTING_KEY}", "api": url, **settings}
    return create_notifier("pagerduty", values, PAGERDUTY_ROUTING_KEY=ROUTING_KEY)


class Redirected(httpx2.HTTPTransport):
    """Leads PagerDuty's client, which insists on https, to the receiver."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._target = httpx2.URL(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self._target.host, port=self._target.port)
        return super().handle_request(request)


def their_client(routing_key: str, url: str) -> EventsApiV2Client:
    return EventsApiV2Client(routing_key, transport=Redirected(url))


def test_the_receiver_takes_and_refuses_what_pagerdutys_client_sends(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    links = [{"href": "https://ci.example", "text": "Run"}]
    with their_client(ROUTING_KEY, url) as client:
        key = client.trigger("disk full", "db1", severity="critical")
        assert service.alerts[key]["payload"]["summary"] == "disk full"
        client.acknowledge(key)
        client.resolve(key)
        client.submit("v7 is live", source="ci", links=links, timestamp="2026-11-27T10:00:00Z")
        assert (service.alerts, len(service.changes)) == ({}, 1)
        with pytest.raises(HttpError, match="400"):
            client.trigger("x" * 1025, "db1")
    for wrong in ("short", "z" * 32):
        with their_client(wrong, url) as client, pytest.raises(HttpError, match="400"):
            client.resolve(key)


def test_a_failure_of_production_alerts_and_the_next_success_resolves_it(
    pagerduty: tuple[PagerDutyService, str],
) -> None:
    service, url = pagerduty
    sent = Memory()
    tell_whole_deployment(notifier(url), DeploymentState.TURNED_BACK, sent, failure="no such module", log=["a"])
    (alert,) = service.alerts.values()
    assert alert["dedup_key"] == KEY
    assert alert["payload"]["severity"] == "error"
    assert alert["payload"]["summary"].startswith("shop: v7 failed and was turned back in production")
    assert alert["payload"]["custom_details"]["failures"] == ["backend, build: no such module\na"]
    assert sent.find("turned-back") == "accepted"
    tell_whole_deployment(notifier(url), DeploymentState.SUCCEEDED, Memory())
    assert service.alerts == {}
    assert [change["payload"]["summary"].partition(" after")[0] for change in service.changes] == [
        "shop: v7 failed and was turned back in production", "shop: v7 is live in production",
    ]  # fmt: skip
    assert service.changes[0]["links"][0] == {"href": "https://ci.example/runs/1", "text": "Run"}


def test_a_deployment_that_is_stuck_is_critical_and_one_alert(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    told, sent = notifier(url), Memory()
    tell(told, snapshot(DeploymentState.STUCK, failure="x"), sent)
    tell(told, snapshot(DeploymentState.TURNED_BACK, failure="x"), sent)
    assert [event["payload"]["severity"] for event in service.events] == ["critical", "error"]
    assert {event["dedup_key"] for event in service.events} == {KEY}
    assert len(service.changes) == 1


@pytest.mark.parametrize(
    ("environment", "state", "kind"),
    [
        ("staging", DeploymentState.TURNED_BACK, DeploymentKind.DEPLOY),
        ("production", DeploymentState.RUNNING, DeploymentKind.DEPLOY),
        ("production", DeploymentState.SUCCEEDED, DeploymentKind.REHEARSE),
        ("production", DeploymentState.CANCELLED, DeploymentKind.REHEARSE),
        ("production", DeploymentState.TURNED_BACK, DeploymentKind.REHEARSE),
    ],
)
def test_what_is_no_failure_of_production_sends_nothing(
    pagerduty: tuple[PagerDutyService, str], environment: str, state: DeploymentState, kind: DeploymentKind
) -> None:
    tell(notifier(pagerduty[1]), snapshot(state, environment=environment, kind=kind), Memory())
    assert (pagerduty[0].events, pagerduty[0].changes) == ([], [])


def test_what_happens_between_deployments_has_an_alert_too(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    told = notifier(url)
    assert isinstance(told, MessageNotifier)
    for kind in (OccurrenceKind.DEGRADED, OccurrenceKind.BACKUP_FAILED):
        tell_occurrence(told, Occurrence(kind, "shop", "production", "why", "2026-11-27T03:00:00.000Z"))
    assert set(service.alerts) == {KEY, f"{KEY}/backup"}
    tell_occurrence(told, Occurrence(OccurrenceKind.RECOVERED, "shop", "production", "", "2026-11-27T04:00:00.000Z"))
    assert set(service.alerts) == {f"{KEY}/backup"}
    assert service.changes == []


def test_what_works_again_resolves_its_own_alert_and_no_other(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    told = notifier(url)
    assert isinstance(told, MessageNotifier)
    continuous = ("continuous/backend", "continuous/worker")
    for topic in ("", *continuous):
        tell_occurrence(told, Occurrence(OccurrenceKind.BACKUP_FAILED, "shop", "production", "why", FAILED_AT, topic))
    tell_occurrence(told, Occurrence(OccurrenceKind.DRILL_FAILED, "shop", "production", "no backup", FAILED_AT))
    alerts = {f"{KEY}/{name}" for name in ("drill", "backup", *(f"backup/{topic}" for topic in continuous))}
    assert set(service.alerts) == alerts
    for topic in ("", *continuous):
        tell_occurrence(told, Occurrence(OccurrenceKind.BACKUP_RESUMED, "shop", "production", "", RESUMED_AT, topic))
        alerts.remove("/".join(filter(None, (KEY, "backup", topic))))
        assert set(service.alerts) == alerts
    tell(told, snapshot(kind=DeploymentKind.DRILL), Memory())
    assert service.alerts == {}


def test_an_incident_belongs_to_the_alert_of_its_environment(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    told = notifier(url)
    assert isinstance(told, MessageNotifier)
    at = "2026-11-27T10:15:00.000Z"
    for kind in (OccurrenceKind.INCIDENT_OPENED, OccurrenceKind.INCIDENT_RESOLVED):
        tell_occurrence(told, Occurrence(kind, "shop", "production", "why", at))
    assert service.events == [], "the deployment has said it"
    tell(told, snapshot(DeploymentState.STUCK, failure="x"), Memory())
    tell_occurrence(told, Occurrence(OccurrenceKind.INCIDENT_REMINDER, "shop", "production", "why", at))
    assert set(service.alerts) == {KEY}
    tell_occurrence(told, Occurrence(OccurrenceKind.INCIDENT_CLOSED, "shop", "production", "why", at))
    assert service.alerts == {}
    named = notifier(url, events=["incident-opened"])
    assert isinstance(named, MessageNotifier)
    tell_occurrence(named, Occurrence(OccurrenceKind.INCIDENT_OPENED, "shop", "production", "why", at))
    assert set(service.alerts) == {KEY}


def test_a_drill_has_an_alert_of_its_own(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    tell(notifier(url), snapshot(DeploymentState.TURNED_BACK, kind=DeploymentKind.DRILL, failure="x"), Memory())
    tell(notifier(url), snapshot(), Memory())
    assert set(service.alerts) == {f"{KEY}/drill"}
    tell(notifier(url), snapshot(kind=DeploymentKind.DRILL), Memory())
    assert service.alerts == {}


def test_an_answer_that_is_lost_doubles_no_change_event(pagerduty: tuple[PagerDutyService, str]) -> None:
    """The change event is sent first; that of the alert is lost."""
    service, url = pagerduty
    fail(service.faults, FaultKind.RESPONSE_LOST, skip=1)
    tell(notifier(url), snapshot(DeploymentState.TURNED_BACK, failure="x"), Memory())
    assert len(service.changes) == 1
    assert len(service.alerts) == 1


def test_settings_choose(pagerduty: tuple[PagerDutyService, str]) -> None:
    service, url = pagerduty
    chosen = notifier(url, environments=["staging"], severity="critical", changes=False)
    tell(chosen, snapshot(DeploymentState.TURNED_BACK, environment="staging", failure="x"), Memory())
    assert service.events == []
    tell(chosen, snapshot(DeploymentState.STUCK, environment="staging", failure="x"), Memory())
    assert len(service.alerts) == 1
    assert service.changes == []


def test_a_key_that_is_none_is_said_without_it(pagerduty: tuple[PagerDutyService, str]) -> None:
    wrong = create_notifier("pagerduty", {"routing_key": "${K}", "api": pagerduty[1]}, K="wrong-key-of-somebody")
    with pytest.raises(NotificationError, match="PagerDuty answers 400") as refused:
        tell(wrong, snapshot(), Memory())
    assert "routing_key" in str(refused.value)
    assert "wrong-key" not in str(refused.value)


def test_a_test_pages_nobody(pagerduty: tuple[PagerDutyService, str]) -> None:
    assert send_test(notifier(pagerduty[1])) == "accepted"
    assert (pagerduty[0].alerts, len(pagerduty[0].changes)) == ({}, 1)
