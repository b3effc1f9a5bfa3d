"""What happens in a deployment, told in order: the ledger keeps it, views draw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; ``key`` names it within its deployment, so that telling it twice records it once.

    ``seq`` and ``at`` are given by the ledger.
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
