"""What Apprise knows is told by Apprise itself, here by its own JSON service over HTTP."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from abreast.core.states import DeploymentState
from abreast.notify.interface import NotificationError, Notifier
from abreast.testing.platforms.fault_injection import FaultInjector
from notified_snapshots import Memory, snapshot
from notify_receivers import create_notifier, fail, send_test, served, tell, tell_whole_deployment

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Apprise imports


class JsonService:
    """What Apprise posts to, for `json://`."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        self.faults = FaultInjector(Starlette(routes=[Route("/hook", self._receive, methods=["POST"])]))

    async def _receive(self, request: Request) -> Response:
        self.notifications.append(json.loads(await request.body()))
        return Response()


@pytest.fixture
def service() -> Iterator[tuple[JsonService, str]]:
    service = JsonService()
    with served(service.faults) as url:
        yield service, f"{url.replace('http', 'json')}/hook?+X-Key=sentinel-in-the-url"


def notifier(url: str) -> Notifier:
    return create_notifier("apprise", {"url": "${APPRISE_URL}"}, APPRISE_URL=url)


def test_start_and_failure(service: tuple[JsonService, str]) -> None:
    got, url = service
    sent = Memory()
    tell_whole_deployment(notifier(url), DeploymentState.TURNED_BACK, sent, failure="no such module", log=["line 1"])
    start, end = got.notifications
    assert (start["title"], start["type"]) == ("shop: Deploying v7 to production", "info")
    assert end["type"] == "failure"
    assert "backend, build: no such module\n    line 1\n" in end["message"]
    assert sent.find("turned-back") == "accepted"


def test_a_success_has_its_own_type(service: tuple[JsonService, str]) -> None:
    tell(notifier(service[1]), snapshot(), Memory())
    assert service[0].notifications[0]["type"] == "success"


def test_a_refusal_is_said_without_the_url(
    service: tuple[JsonService, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abreast.notify.message_notifier.PAUSES", (0.1, 0.1))
    fail(service[0].faults, times=3, status=500)
    with pytest.raises(NotificationError, match="the service of Apprise did not accept it") as refused:
        tell(notifier(service[1]), snapshot(), Memory())
    assert "sentinel" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_url_that_apprise_does_not_know_is_said_without_it() -> None:
    with pytest.raises(NotificationError, match="Apprise knows no service of this URL") as refused:
        tell(notifier("nothing://sentinel"), snapshot(), Memory())
    assert "sentinel" not in str(refused.value)


def test_where_it_is_not_installed_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotificationError, match="Apprise is not installed") as refused:
        tell(notifier("json://127.0.0.1"), snapshot(), Memory())
    assert refused.value.next == "pip install 'abreast[apprise]'"


def test_a_test_is_only_accepted(service: tuple[JsonService, str]) -> None:
    assert send_test(notifier(service[1])) == "accepted"
