"""Tells one receiver of events, each once: what every notifier that sends messages has in common."""

import hashlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from abreast.notify.interface import (
    HELD,
    NotificationDelayedError,
    NotificationError,
    Notifier,
    Occurrence,
    Receipt,
    SentMessages,
    Snapshot,
)
from abreast.notify.message import Message, deployment_message, digest_message, occurrence_message
from abreast.notify.notification_events import EVENT_TRAITS, NotificationEvent
from abreast.notify.routing import Route

MAX_ATTEMPTS = 3
"""How often one command tries to send a message."""

PAUSES = (1.0, 4.0)
"""Seconds between two attempts, unless the receiver asks for more."""

MAX_PAUSE = 15.0
"""Seconds beyond which a command does not wait for a receiver."""

GRACE_PERIOD = 1.0
"""Seconds for which a failure is not told: if the deployment is turned back by then, one message tells both."""


class PartlyDeliveredError(NotificationError):
    """Some get it and others do not. It is not sent again: those who have it would get it twice."""


class Receiver(ABC):
    """A place that messages go to."""

    is_idempotent: ClassVar[bool] = False
    """Whether it shows what it gets twice, under the same id, only once."""

    @abstractmethod
    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a message. ``id`` is the same for each attempt; ``sent`` has what was recorded of this deployment.

        Raises NotificationDelayedError or NotificationError.
        """


class MessageNotifier(Notifier):
    """Tells a receiver what its route has. ``clock`` returns seconds."""

    def __init__(
        self, name: str, project: str, route: Route, receiver: Receiver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.digest_interval = route.digest_interval
        self._project = project
        self._route = route
        self._receiver = receiver
        self._clock = clock
        self._attempts = Counter[str]()
        self._given_up: dict[str, NotificationError] = {}
        self._failed_since: dict[str, float] = {}

    async def notify(self, snapshot: Snapshot, sent: SentMessages) -> None:
        """Tell what has happened last, unless it was told."""
        event = self._route.due_event(snapshot)
        if event is None or sent.find(event) is not None:
            return
        if self._route.holds(event):
            if snapshot.state.is_final:
                await sent.record(HELD)
            return
        if event is NotificationEvent.FAILED and not snapshot.finished:
            self._await_turn_back(snapshot)
        message = deployment_message(snapshot, event)
        is_last = snapshot.finished is not None or event in {NotificationEvent.STUCK, NotificationEvent.APPROVAL}
        await self._send(message, f"{snapshot.plan.deployment}/{event}", event, sent, is_last=is_last)

    async def notify_occurrence(self, occurrence: Occurrence, sent: SentMessages) -> None:
        """Tell what happened to an environment, unless it was told."""
        message = occurrence_message(occurrence)
        if self._route.wants(message.event, occurrence.environment):
            id_ = f"{occurrence.project}/{occurrence.environment}/{occurrence.id}"
            await self._send(message, id_, message.event, sent)

    async def notify_digest(self, held: Sequence[Snapshot], sent: SentMessages) -> None:
        """Tell what was held, in one message."""
        event = NotificationEvent.DIGEST
        await self._send(digest_message(held), f"{event}/{held[-1].plan.deployment}", event, sent)

    async def send_test(self) -> Receipt:
        """Send a message that says it is a test, to no one but the receiver's usual place."""
        event, now = NotificationEvent.TEST, datetime.now(UTC)
        moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = Message(event, self._project, "", EVENT_TRAITS[event].title, moment)
        return await self._receiver.deliver(message, _id(self.name, f"{event}/{moment}"), _Unrecorded())

    def _await_turn_back(self, snapshot: Snapshot) -> None:
        """Raise NotificationDelayedError for the first seconds of a failure."""
        now = self._clock()
        pause = self._failed_since.setdefault(snapshot.plan.deployment, now) + GRACE_PERIOD - now
        if pause > 0 and self._route.wants(NotificationEvent.TURNED_BACK, snapshot.plan.environment):
            raise NotificationDelayedError("it may be turned back in a moment", retry_after=pause)

    async def _send(self, message: Message, id: str, key: str, sent: SentMessages, *, is_last: bool = True) -> None:
        """Send a message, and record it. What is not the last news is given up after ``MAX_ATTEMPTS``."""
        if id in self._given_up:
            if is_last:
                raise self._given_up[id]
            return
        attempt = await _begin_attempt(key, sent, self._receiver)
        self._attempts[id] += 1
        try:
            repeat = replace(message, is_repeat=attempt.is_repeat)
            receipt = await self._receiver.deliver(repeat, _id(self.name, id), sent)
        except NotificationDelayedError as error:
            if not error.is_uncertain:
                await attempt.record_failure()
            self._give_up_or_wait(id, error, is_last=is_last)
        except PartlyDeliveredError:
            await sent.record(key, Receipt.ACCEPTED)
            raise
        except NotificationError as error:
            await attempt.record_failure()
            self._given_up[id] = error
            raise
        else:
            await sent.record(key, receipt)

    def _give_up_or_wait(self, id: str, error: NotificationDelayedError, *, is_last: bool) -> None:
        """Raise NotificationDelayedError, or NotificationError if that was the last attempt of the last news."""
        number = self._attempts[id]
        pause = max(error.retry_after, PAUSES[min(number, len(PAUSES)) - 1])
        if number < MAX_ATTEMPTS and pause <= MAX_PAUSE:
            raise NotificationDelayedError(error.what, need=error.need, next=error.next, retry_after=pause) from error
        what, next_ = f"{error.what}; the next deployment there tells it", error.next or "abreast notify send"
        self._given_up[id] = NotificationError(what, need=error.need, next=next_)
        if is_last:
            raise self._given_up[id] from error


class _Attempt:
    """One attempt to send a message, whose beginning is recorded: after a kill, nobody knows how it ended."""

    def __init__(self, key: str, number: int, sent: SentMessages, *, is_repeat: bool) -> None:
        self._failure_key = f"{key}/not-sent/{number}"
        self._sent = sent
        self.is_repeat = is_repeat

    async def record_failure(self) -> None:
        """Record that the message has certainly not arrived."""
        await self._sent.record(self._failure_key)


async def _begin_attempt(key: str, sent: SentMessages, receiver: Receiver) -> _Attempt:
    """Record the beginning of an attempt. It is a repeat if an earlier one may have arrived, and would be shown."""
    number, is_repeat = 1, False
    while sent.find(f"{key}/attempt/{number}") is not None:
        is_repeat |= sent.find(f"{key}/not-sent/{number}") is None
        number += 1
    await sent.record(f"{key}/attempt/{number}")
    return _Attempt(key, number, sent, is_repeat=is_repeat and not receiver.is_idempotent)


class _Unrecorded(SentMessages):
    """What a test sends, which nobody records."""

    def find(self, key: str) -> str | None:  # noqa: ARG002 (the port's signature)
        """Return None."""
        return None

    async def record(self, key: str, value: str = "") -> None:
        """Record nothing."""


def _id(receiver: str, key: str) -> str:
    """Return the id of a message for a receiver: the same in every process, and of characters that all take."""
    return hashlib.sha256(f"{receiver}/{key}".encode()).hexdigest()[:32]
