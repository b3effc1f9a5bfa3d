"""Events of a deployment, in order. The ledger records them, views display them."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter
from abreast.core.states import DeploymentState


class EventKind(StrEnum):
    """Kinds of events."""

    PLANNED = "planned"
    STATE = "state"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    NOTE = "note"
    JUDGED = "judged"
    MEASURED = "measured"
    RETRY = "retry"
    RESUMED = "resumed"
    ACCEPTED = "accepted"
    REMOVED = "removed"
    VOTED = "voted"
    UNLOCKED = "unlocked"
    CONFIRMED = "confirmed"
    INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``key`` is unique in its deployment, so recording it again has no effect.

    The ledger sets ``seq`` and ``at``.
    """

    deployment: str
    key: str
    kind: EventKind
    message: str = ""
    service: str | None = None
    chapter: Chapter | None = None
    state: DeploymentState | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    seq: int = 0
    at: str = ""
