"""The port of notifiers: they tell somebody outside what a deployment does.

A notifier gets the deployment as it is now, not a stream of messages. It brings the outside to what that snapshot says.
So updates that follow quickly become one, and a call that is repeated, also by another machine that took the deployment
over, changes nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from abreast.core.approvals.request import ApprovalRequest
from abreast.core.errors import AbreastError
from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter, LiveService
from abreast.core.plan import Plan
from abreast.core.secrets import Secret
from abreast.core.states import DeploymentState


class NotificationError(AbreastError):
    """It cannot be delivered, and trying again would not help."""


class NotificationDelayedError(NotificationError):
    """It cannot be delivered now. ``retry_after``: seconds until it is worth trying again.

    ``is_uncertain``: it may have arrived, since only the answer is missing.
    """

    def __init__(
        self,
        what: str,
        *,
        need: str = "",
        next: str = "",
        retry_after: float = 1.0,
        is_uncertain: bool = False,
    ) -> None:
        super().__init__(what, need=need, next=next)
        self.retry_after = retry_after
        self.is_uncertain = is_uncertain


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A deployment as it is now. All texts of its events are redacted.

    ``started`` and ``finished`` are ISO 8601 in UTC; ``finished`` is None while it runs. ``live`` holds what is live of
    each service of the environment. ``subject`` is the first line of the commit's message, "" if it is unknown.
    ``request`` is what it asks people for while it waits for an approval.
    """

    plan: Plan
    state: DeploymentState
    chapter: Chapter
    started: str
    finished: str | None
    events: Sequence[Event]
    live: Mapping[str, LiveService]
    subject: str = ""
    request: ApprovalRequest | None = None

    @property
    def is_removed(self) -> bool:
        """Whether the environment, a preview, was removed after this deployment."""
        return any(event.kind is EventKind.REMOVED for event in self.events)

    @property
    def failures(self) -> tuple[Event, ...]:
        """What failed, in order."""
        return tuple(event for event in self.events if event.kind is EventKind.FAILED)


class OccurrenceKind(StrEnum):
    """What can happen to an environment while nothing is deployed to it."""

    DEGRADED = "degraded"
    RECOVERED = "recovered"
    BACKUP_FAILED = "backup-failed"
    BACKUP_RESUMED = "backup-resumed"
    DRILL_FAILED = "drill-failed"
    INCIDENT_OPENED = "incident-opened"
    INCIDENT_REMINDER = "incident-reminder"
    INCIDENT_RESOLVED = "incident-resolved"
    INCIDENT_CLOSED = "incident-closed"


RECOVERIES = {
    OccurrenceKind.DEGRADED: OccurrenceKind.RECOVERED,
    OccurrenceKind.BACKUP_FAILED: OccurrenceKind.BACKUP_RESUMED,
}
"""What ends a failure. A drill that passes again is a deployment, and needs none."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to an environment. ``text`` is redacted, ``at`` ISO 8601 in UTC.

    ``topic`` names what goes on being well or failing by itself, such as the continuous backup of one service; "" is
    what the environment has one of.
    """

    kind: OccurrenceKind
    project: str
    environment: str
    text: str
    at: str
    topic: str = ""

    @property
    def id(self) -> str:
        """Its name, unique in its environment."""
        return "/".join(filter(None, (self.kind, self.at, self.topic)))

    def settles(self, earlier: "Occurrence") -> bool:
        """Whether what failed earlier works again by this one."""
        return RECOVERIES.get(earlier.kind) is self.kind and earlier.topic == self.topic and earlier.at <= self.at


class Receipt(StrEnum):
    """What is known of a message that was sent: people see it, or a service has taken it over."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"


class SentMessages(ABC):
    """What a notifier has sent of one deployment, recorded in the ledger. A key keeps its first value."""

    @abstractmethod
    def find(self, key: str) -> str | None:
        """Return the value of a key, None if nothing was recorded under it."""

    @abstractmethod
    async def record(self, key: str, value: str = "") -> None:
        """Record a value, durably: the id of what was made outside, or "" for what is only sent."""


class Notifier(ABC):
    """Tells one receiver about deployments."""

    name: str

    @abstractmethod
    async def notify(self, snapshot: Snapshot, sent: SentMessages) -> None:
        """Bring the receiver to what the snapshot says. What ``sent`` has is not sent again.

        Raises NotificationDelayedError or NotificationError. A deployment never fails because of it.
        """


@runtime_checkable
class TellsOccurrences(Protocol):
    """A notifier that can also say what happens to an environment while nothing is deployed to it."""

    async def notify_occurrence(self, occurrence: Occurrence, sent: SentMessages) -> None:
        """Tell the receiver, unless ``sent``, which is of this occurrence only, has it. Raises as ``notify`` does."""


@runtime_checkable
class SendsDigests(Protocol):
    """A notifier that can put what is not urgent into one message. ``notify`` records what it holds as ``HELD``."""

    digest_interval: float
    """Seconds from the first end that is held until all that are held are told; 0: nothing is ever held."""

    async def notify_digest(self, held: Sequence[Snapshot], sent: SentMessages) -> None:
        """Tell the receiver of ended deployments, oldest first, in one message. Raises as ``notify`` does.

        It records itself as ``DIGEST`` in ``sent``, which is of this digest only.
        """


@runtime_checkable
class SendsTests(Protocol):
    """A notifier that can show that it reaches its receiver."""

    async def send_test(self) -> Receipt:
        """Send a message that says so, once. Raises as ``notify`` does."""


HELD, DIGEST = "held", "digest"
"""The keys of an end that is held for a digest, and of a digest that was sent."""


@dataclass(frozen=True, slots=True)
class NotifierContext:
    """What a notifier is made with. ``variable`` and ``secret`` look up a variable of the place where abreast runs.

    ``name`` is its key under ``notify`` in abreast.yml.
    """

    name: str
    project: str
    variable: Callable[[str], str | None]
    secret: Callable[[str], Secret | None] = field(repr=False)
    interpolate: Callable[[str], Secret] = field(repr=False)
    """Replaces ``${NAME}`` in a text of abreast.yml. Raises UsageError for a variable that is not set."""


@dataclass(frozen=True, slots=True)
class NotifierPlugin:
    """A notifier that a package registers in the entry point group ``abreast.notifiers``.

    Its name there is the key under ``notify`` in abreast.yml, or the beginning of it: ``slack``, ``slack-alerts``.
    ``settings`` is the model of its value. ``create`` returns None if there is nobody to tell.
    """

    settings: type[BaseModel]
    create: Callable[[NotifierContext, BaseModel], Notifier | None]
