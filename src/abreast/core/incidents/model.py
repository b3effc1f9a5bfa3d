"""The nouns of incidents. Times are ISO 8601 in UTC, "" for what has not happened; durations are in seconds."""

from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass

REMINDER_INTERVAL = 900
"""Seconds between two reminders of an incident that is open."""


class IncidentKind(StrEnum):
    """What opened an incident."""

    TURN_BACK = "turn-back"
    ROLLBACK = "rollback"
    DEGRADED = "degraded"


class IncidentSeverity(StrEnum):
    """How much users have to do with it, now."""

    SEV1 = "SEV1"
    """Users are affected now, or the deployment is stuck."""
    SEV2 = "SEV2"
    """Users of production were affected."""
    SEV3 = "SEV3"
    """Users of another environment were."""
    SEV4 = "SEV4"
    """Users saw nothing."""


class IncidentStatus(StrEnum):
    """How far it is: users are on a good version again when it is resolved, a person closes it."""

    OPEN = "open"
    RESOLVED = "resolved"
    CLOSED = "closed"


class IncidentAct(StrEnum):
    """What is added to an incident after it began, by a person or by what watches."""

    NOTE = "note"
    CLOSE = "close"
    REOPEN = "reopen"
    DEGRADED = "degraded"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """What happened, when, and by whom if that was a person."""

    at: str
    text: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class AffectedService:
    """A service that was, or is, on a bad version.

    ``users_from`` and ``users_until``: when users reached that, at most. ``good_release`` is what they are led back to,
    "" if there was none.
    """

    name: str
    platform: str
    bad_release: str
    good_release: str
    users_from: str = ""
    users_until: str = ""
    has_database: bool = False


@dataclass(frozen=True, slots=True)
class FailureExcerpt:
    """What failed, and the lines of its output that were recorded."""

    at: str
    text: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangedMigration:
    """A migration of the change. ``stays`` says why the schema has it still, "" if it was reversed or never ran."""

    service: str
    name: str
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident, as its record shows it now. ``id`` is that of the deployment that it began with.

    ``detected`` is when the fault was seen, ``turn_back_began`` when something was done about it, ``recovered`` when
    all users were on a good version. ``open_since`` is when it became open last. ``cause`` is a RollbackCause, "" if
    nobody said. ``newest`` is the number of the newest entry that it is made of.
    """

    id: str
    kind: IncidentKind
    project: str
    environment: str
    release: str
    commit: str
    author: str
    reason: str
    run_url: str
    title: str
    status: IncidentStatus
    severity: IncidentSeverity
    why: str
    detected: str
    turn_back_began: str
    recovered: str
    open_since: str
    resolved: str
    closed: str
    cause: str
    services: tuple[AffectedService, ...]
    timeline: tuple[TimelineEntry, ...]
    failures: tuple[FailureExcerpt, ...]
    migrations: tuple[ChangedMigration, ...]
    questions: tuple[str, ...]
    next_commands: tuple[str, ...]
    newest: int
