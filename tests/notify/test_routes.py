"""Which event goes where, and what is sent when: decisions on snapshots made by hand."""

import asyncio
from typing import ClassVar, get_args

import pytest

from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    OccurrenceKind,
    Receipt,
    SentMessages,
    Snapshot,
)
from abreast.notify.message import Message, deployment_message
from abreast.notify.message_notifier import GRACE_PERIOD, MAX_ATTEMPTS, MessageNotifier, Receiver
from abreast.notify.notification_events import EVENT_TRAITS, EventName, NotificationEvent, Severity
from abreast.notify.routing import MessageSettings, Route
from notified_snapshots import Memory, snapshot


class Mailbox(Receiver):
    """Keeps what it gets. ``errors`` are raised first, one for each message."""

    def __init__(self, *errors: Exception) -> None:
        self.messages: list[Message] = []
        self.ids: list[str] = []
        self.errors = list(errors)

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        self.ids.append(id)
        self.messages.append(message)
        if self.errors:
            raise self.errors.pop(0)
        return Receipt.DELIVERED

    @property
    def events(self) -> list[str]:
        return [message.event.value for message in self.messages]


class IdempotentMailbox(Mailbox):
    is_idempotent: ClassVar[bool] = True


def notifier(receiver: Receiver, route: Route | None = None, now: list[float] | None = None) -> MessageNotifier:
    clock = now or [0.0]
    return MessageNotifier("box", "shop", route or Route(), receiver, lambda: clock[0])


def tell(told: MessageNotifier, deployment: Snapshot, sent: SentMessages) -> None:
    asyncio.run(told.notify(deployment, sent))


# ── routes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "environment", "state", "due"),
    [
        ({}, "local", DeploymentState.RUNNING, "started"),
        ({}, "local", DeploymentState.APPROVING, "approval"),
        ({}, "local", DeploymentState.SUPERSEDED, None),
        ({}, "local", DeploymentState.CANCELLED, "cancelled"),
        ({"events": ["succeeded"]}, "local", DeploymentState.RUNNING, None),
        ({"events": ["failed"]}, "local", DeploymentState.TURNED_BACK, "failed"),
        ({"events": ["failed"]}, "local", DeploymentState.STUCK, "failed"),
        ({"events": ["turning-back"]}, "local", DeploymentState.TURNING_BACK, "turning-back"),
        ({"severity": "error"}, "local", DeploymentState.SUCCEEDED, None),
        ({"severity": "error"}, "local", DeploymentState.TURNED_BACK, "turned-back"),
        ({"severity": "critical"}, "local", DeploymentState.TURNED_BACK, None),
        ({"severity": "critical"}, "local", DeploymentState.STUCK, "stuck"),
        ({"environments": ["production"]}, "local", DeploymentState.STUCK, None),
        ({"environments": ["production", "staging-pr-*"]}, "staging-pr-3", DeploymentState.STUCK, "stuck"),
    ],
)
def test_a_route_decides(
    settings: dict[str, object], environment: str, state: DeploymentState, due: str | None
) -> None:
    route = MessageSettings.model_validate(settings).route()
    assert route.due_event(snapshot(state, environment=environment)) == due


def test_a_drill_that_failed_is_an_event_of_its_own() -> None:
    assert Route().due_event(snapshot(DeploymentState.TURNED_BACK, kind=DeploymentKind.DRILL)) == "drill-failed"


def test_every_event_has_its_traits_and_every_occurrence_is_one() -> None:
    assert set(EVENT_TRAITS) == set(NotificationEvent)
    assert set(get_args(EventName)) == set(NotificationEvent) - {"digest", "test"}
    assert {NotificationEvent(kind) for kind in OccurrenceKind} < set(NotificationEvent)
    assert {event for event in NotificationEvent if event.severity is Severity.CRITICAL} == {"stuck"}


@pytest.mark.parametrize("state", DeploymentState)
def test_every_state_can_be_told(state: DeploymentState) -> None:
    every = Route(events=frozenset(NotificationEvent))
    event = every.due_event(snapshot(state))
    assert event is not None
    assert "production" in deployment_message(snapshot(state), event).title


# ── once, and never lost ───────────────────────────────────────────────────────────────────────


def test_each_event_is_sent_once_and_recorded_as_what_the_receiver_said() -> None:
    box, sent = Mailbox(), Memory()
    for state in (DeploymentState.RUNNING, DeploymentState.RUNNING, DeploymentState.SUCCEEDED):
        tell(notifier(box), snapshot(state), sent)
    assert box.events == ["started", "succeeded"]
    assert sent.find("succeeded") == "delivered"
    assert len(set(box.ids)) == 2


def test_three_attempts_then_the_next_command() -> None:
    box, sent = Mailbox(*[NotificationDelayedError("away")] * MAX_ATTEMPTS), Memory()
    first = notifier(box)
    pauses = []
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(NotificationDelayedError) as delayed:
            tell(first, snapshot(), sent)
        pauses.append(delayed.value.retry_after)
    with pytest.raises(NotificationError, match="away; the next deployment there tells it"):
        tell(first, snapshot(), sent)
    with pytest.raises(NotificationError, match="the next deployment"):
        tell(first, snapshot(), sent)
    assert len(box.messages) == MAX_ATTEMPTS
    assert pauses == [1.0, 4.0]
    tell(notifier(box), snapshot(), sent)
    assert sent.find("succeeded") == "delivered"
    assert len(set(box.ids)) == 1
    assert not any(message.is_repeat for message in box.messages), "none of them can have arrived"


def test_what_is_not_the_last_news_is_given_up_without_a_word() -> None:
    box = Mailbox(*[NotificationDelayedError("away", retry_after=600)])
    first, sent = notifier(box), Memory()
    tell(first, snapshot(DeploymentState.RUNNING), sent)
    tell(first, snapshot(DeploymentState.RUNNING), sent)
    tell(first, snapshot(), sent)
    assert box.events == ["started", "succeeded"]


@pytest.mark.parametrize("box_class", [Mailbox, IdempotentMailbox])
def test_what_may_have_arrived_says_so_unless_the_receiver_drops_it(box_class: type[Mailbox]) -> None:
    box, sent = box_class(NotificationDelayedError("no answer", is_uncertain=True)), Memory()
    with pytest.raises(NotificationDelayedError):
        tell(notifier(box), snapshot(), sent)
    tell(notifier(box), snapshot(), sent)
    assert [message.is_repeat for message in box.messages] == [False, box_class is Mailbox]


def test_a_kill_between_answer_and_record_is_noticed() -> None:
    class Killed(Memory):
        async def record(self, key: str, value: str = "") -> None:
            if value:
                raise KeyboardInterrupt
            await super().record(key, value)

    box, sent = Mailbox(), Killed()
    with pytest.raises(KeyboardInterrupt):
        tell(notifier(box), snapshot(), sent)
    resumed = Memory()
    resumed.known = sent.known
    tell(notifier(box), snapshot(), resumed)
    assert [message.headline.endswith("(may have been sent before)") for message in box.messages] == [False, True]


def test_a_failure_and_a_quick_turn_back_are_one_message() -> None:
    now, box, sent = [0.0], Mailbox(), Memory()
    told = notifier(box, now=now)
    turning = snapshot(DeploymentState.TURNING_BACK, failure="no such module")
    with pytest.raises(NotificationDelayedError) as delayed:
        tell(told, turning, sent)
    assert delayed.value.retry_after == GRACE_PERIOD
    tell(told, snapshot(DeploymentState.TURNED_BACK, failure="no such module"), sent)
    assert box.events == ["turned-back"]


def test_a_failure_is_told_while_it_is_turned_back() -> None:
    now, box, sent = [0.0], Mailbox(), Memory()
    told = notifier(box, now=now)
    turning = snapshot(DeploymentState.TURNING_BACK, failure="no such module")
    with pytest.raises(NotificationDelayedError):
        tell(told, turning, sent)
    now[0] = GRACE_PERIOD
    tell(told, turning, sent)
    tell(told, turning, sent)
    tell(told, snapshot(DeploymentState.TURNED_BACK, failure="no such module"), sent)
    assert box.events == ["failed", "turned-back"]


# ── digests ────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_urgent_is_held_and_the_rest_is_not() -> None:
    route = MessageSettings.model_validate({"digest": "daily"}).route()
    box, sent, failed = Mailbox(), Memory(), Memory()
    told = notifier(box, route)
    assert told.digest_interval == 86400
    tell(told, snapshot(DeploymentState.RUNNING), sent)
    tell(told, snapshot(), sent)
    assert (box.events, sent.known) == ([], {"held": ""})
    tell(told, snapshot(DeploymentState.TURNED_BACK, failure="x"), failed)
    assert box.events == ["turned-back"]
    asyncio.run(told.notify_digest([snapshot(deployment="A"), snapshot(deployment="B")], Memory()))
    assert box.messages[-1].title == "2 deployments in production"
    assert box.messages[-1].details == ("v7 is live in production after 2 min 40 s: 3f9c2ab Add a basket",) * 2
