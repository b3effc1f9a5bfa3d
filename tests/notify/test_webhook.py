"""A webhook is signed as Standard Webhooks says: the scheme's own library holds the receiver and abreast true."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from standardwebhooks import Webhook
from starlette.types import Message, Receive, Scope, Send

from abreast.core.states import DeploymentState
from abreast.notify.interface import NotificationError, Notifier
from abreast.notify.webhook import signature
from abreast.testing.platforms.fault_injection import FaultKind
from abreast.testing.receivers.webhook import SECRET, WebhookEndpoint
from notified_snapshots import Memory, snapshot
from notify_receivers import create_notifier, fail, send_test, served, tell, tell_whole_deployment


@pytest.fixture
def endpoint() -> Iterator[tuple[WebhookEndpoint, str]]:
    endpoint = WebhookEndpoint()
    with served(endpoint.app) as url:
        yield endpoint, f"{url}/hook"


def webhook(url: str, secret: str = SECRET) -> Notifier:
    settings = {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"}
    return create_notifier("webhook", settings, HOOK_URL=url, HOOK_SECRET=secret)


def test_the_receiver_takes_what_the_library_signs_and_nothing_else(endpoint: tuple[WebhookEndpoint, str]) -> None:
    body = json.dumps({"type": "a.b", "timestamp": "2026-11-27T10:00:00Z", "data": {}})

    def post(secret: str = SECRET, content: str = body, age: float = 0.0, number: str = "msg_1") -> tuple[int, str]:
        moment = datetime.now(UTC) - timedelta(seconds=age)
        headers = {
            "webhook-id": number,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret).sign(number, moment, body),
        }
        answer = httpx2.post(endpoint[1], content=content, headers=headers)
        return answer.status_code, answer.text

    assert post() == (204, "")
    assert post()[0] == 204
    assert len(endpoint[0].events) == 1, "an id is shown once"
    other = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    assert post(secret=other, number="msg_2") == (401, "no signature matches")
    assert post(content=body + " ", number="msg_3") == (401, "no signature matches")
    assert post(age=301, number="msg_4")[0] == 401


def test_the_library_verifies_what_abreast_sends() -> None:
    taken: list[tuple[bytes, dict[str, str]]] = []

    async def keep(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        event: Message = await receive()
        taken.append((event["body"], headers))
        await send({"type": "http.response.start", "status": 202})
        await send({"type": "http.response.body"})

    endpoint = WebhookEndpoint()
    endpoint.faults.app = keep
    with served(endpoint.app) as url:
        sent = Memory()
        tell(webhook(url), snapshot(subject="Ünïcode & <tags>"), sent)
    ((content, headers),) = taken
    event = Webhook(SECRET).verify(content, headers)
    assert event["type"] == "deployment.succeeded"
    assert event["data"]["subject"] == "Ünïcode & <tags>"
    assert sent.find("succeeded") == "accepted", "202 is no delivery"


def test_the_signature_is_that_of_the_specification() -> None:
    """Its example: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md."""
    key, moment = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), datetime.fromtimestamp(1614265330, UTC)
    content = '{"test": 2432232314}'
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", content.encode())
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert made == Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", moment, content
    )


def test_a_failure_has_all_that_is_known(endpoint: tuple[WebhookEndpoint, str]) -> None:
    sent = Memory()
    tell_whole_deployment(
        webhook(endpoint[1]), DeploymentState.TURNED_BACK, sent, failure="no such module", log=["a", "b"]
    )
    assert [event["type"] for event in endpoint[0].events] == ["deployment.started", "deployment.turned-back"]
    data = endpoint[0].events[-1]["data"]
    assert data["failures"] == [{"text": "backend, build: no such module", "log": "a\nb"}]
    assert data["severity"] == "error"
    assert sent.find("turned-back") == "delivered"


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_lost_answer_doubles_nothing(endpoint: tuple[WebhookEndpoint, str], kind: FaultKind) -> None:
    fail(endpoint[0].faults, kind)
    fail(endpoint[0].faults, status=504)
    tell(webhook(endpoint[1]), snapshot(), Memory())
    assert [event["data"]["text"] for event in endpoint[0].events] == [
        "shop: v7 is live in production after 2 min 40 s"
    ]


def test_a_refusal_is_said(endpoint: tuple[WebhookEndpoint, str]) -> None:
    other = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    with pytest.raises(NotificationError, match="the webhook answers 401 no signature matches"):
        tell(webhook(endpoint[1], other), snapshot(), Memory())


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64", "whsec_c2hvcnQ=", f"whsec_{'A' * 100}"])
def test_a_secret_that_is_none_is_said_without_it(secret: str) -> None:
    with pytest.raises(NotificationError, match="the secret of the webhook is none") as refused:
        tell(webhook("https://hook.example", secret), snapshot(), Memory())
    assert "openssl rand" in refused.value.next
    assert not secret or secret not in str(refused.value) or secret == "whsec_"


@pytest.mark.parametrize("url", ["", "hook.example/x", "ftp://hook.example"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(NotificationError, match="the address of the webhook is not a URL"):
        tell(webhook(url), snapshot(), Memory())


def test_a_receiver_that_is_away_or_slow_is_given_up_in_clear_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abreast.notify.message_notifier.PAUSES", (0.1, 0.1))
    monkeypatch.setattr("abreast.notify.http_post.TIMEOUT", 0.3)
    with pytest.raises(NotificationError, match="the webhook cannot be reached: ConnectError; the next deployment"):
        tell(webhook("http://127.0.0.1:9/"), snapshot(), Memory())
    endpoint = WebhookEndpoint()
    fail(endpoint.faults, FaultKind.SLOW, times=3, delay=1.0)
    with served(endpoint.app) as url, pytest.raises(NotificationError, match="does not answer within 0 s"):
        tell(webhook(url), snapshot(), Memory())


def test_a_test_is_delivered(endpoint: tuple[WebhookEndpoint, str]) -> None:
    assert send_test(webhook(endpoint[1])) == "delivered"
    assert endpoint[0].events[0]["type"] == "abreast.test"
