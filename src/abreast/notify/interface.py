"""The port of notifiers: they tell somebody outside what a deployment does.

A notifier gets the deployment as it is now, not a stream of messages. It brings the outside to what that snapshot says.
So updates that follow quickly become one, and a call that is repeated, also by another machine that took the deployment
over, changes nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from pydantic import BaseModel

from abreast.core.errors import AbreastError
from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter, LiveService, Plan
from abreast.core.secrets import Secret
from abreast.core.states import DeploymentState


class NotificationError(AbreastError):
    """It cannot be delivered, and trying again would not help."""


class NotificationDelayedError(NotificationError):
    """It cannot be delivered now. ``retry_after``: seconds until it is worth trying again."""

    def __init__(self, what: str, *, need: str = "", next: str = "", retry_after: float = 1.0) -> None:
        super().__init__(what, need=need, next=next)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A deployment as it is now. All texts of its events are redacted.

    ``started`` and ``finished`` are ISO 8601 in UTC; ``finished`` is None while it runs. ``live`` holds what is live of
    each service of the environment. ``subject`` is the first line of the commit's message, "" if it is unknown.
    """

    plan: Plan
    state: DeploymentState
    chapter: Chapter
    started: str
    finished: str | None
    events: Sequence[Event]
    live: Mapping[str, LiveService]
    subject: str = ""

    @property
    def is_removed(self) -> bool:
        """Whether the environment, a preview, was removed after this deployment."""
        return any(event.kind is EventKind.REMOVED for event in self.events)

    @property
    def failures(self) -> tuple[Event, ...]:
        """What failed, in order."""
        return tuple(event for event in self.events if event.kind is EventKind.FAILED)


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


@dataclass(frozen=True, slots=True)
class NotifierContext:
    """What a notifier is made with. ``variable`` and ``secret`` look up a variable of the place where abreast runs."""

    project: str
    variable: Callable[[str], str | None]
    secret: Callable[[str], Secret | None] = field(repr=False)
    interpolate: Callable[[str], Secret] = field(repr=False)
    """Replaces ``${NAME}`` in a text of abreast.yml. Raises UsageError for a variable that is not set."""


@dataclass(frozen=True, slots=True)
class NotifierPlugin:
    """A notifier that a package registers in the entry point group ``abreast.notifiers``.

    Its name there is the key under ``notify`` in abreast.yml; ``settings`` is the model of its value. ``create``
    returns None if there is nobody to tell.
    """

    settings: type[BaseModel]
    create: Callable[[NotifierContext, BaseModel], Notifier | None]
