"""Routes: which events, of which environments, a receiver is told."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from abreast.core.frozen_dataclass import dataclass
from abreast.notify.interface import Snapshot
from abreast.notify.notification_events import (
    EVENT_TRAITS,
    EventName,
    NotificationEvent,
    Severity,
    reached_events,
)

DIGEST_INTERVALS = {"hourly": 3600.0, "daily": 86400.0, "weekly": 7 * 86400.0}

DEFAULT_EVENTS = frozenset(event for event, traits in EVENT_TRAITS.items() if traits.by_default)


@dataclass(frozen=True, slots=True)
class Route:
    """Which events go to one receiver. ``environments`` are names or patterns; none means all.

    ``digest_interval``: seconds for which what is not urgent is held, to be told in one message; 0: nothing is.
    """

    environments: tuple[str, ...] = ()
    events: frozenset[NotificationEvent] = DEFAULT_EVENTS
    severity: Severity = Severity.INFO
    digest_interval: float = 0.0

    def includes(self, environment: str) -> bool:
        """Whether anything of an environment goes to the receiver."""
        return not self.environments or any(fnmatchcase(environment, pattern) for pattern in self.environments)

    def wants(self, event: NotificationEvent, environment: str) -> bool:
        """Whether an event of an environment goes to the receiver."""
        return event in self.events and event.severity.is_at_least(self.severity) and self.includes(environment)

    def due_event(self, snapshot: Snapshot) -> NotificationEvent | None:
        """Return the latest event of a deployment that the receiver is told of, None if there is none."""
        wanted = (event for event in reached_events(snapshot) if self.wants(event, snapshot.plan.environment))
        return next(reversed(list(wanted)), None)

    def holds(self, event: NotificationEvent) -> bool:
        """Whether an event waits for the next digest."""
        return bool(self.digest_interval) and event.severity is Severity.INFO


class RouteSettings(BaseModel):
    """What the settings of every receiver have: which events it is told of."""

    model_config = ConfigDict(extra="forbid", strict=True)

    environments: list[str] = Field(
        default_factory=list, description="Only these environments, such as `production` or `staging-pr-*`."
    )
    events: list[EventName] = Field(
        default_factory=list,
        description="Only these events: `started`, `emergency`, `approval`, `failed`, `turning-back`, `succeeded`, "
        "`turned-back`, `cancelled`, `superseded`, `stuck`, `removed`, `degraded`, `recovered`, `backup-failed`, "
        "`backup-resumed`, `drill-failed`, `incident-opened`, `incident-reminder`, `incident-resolved`, "
        "`incident-closed`. Default: all but `turning-back`, `superseded`, `removed`, `incident-opened` and "
        "`incident-resolved`.",
    )
    severity: Literal["info", "warning", "error", "critical"] = Field(
        "info", description="Only events that are so grave, or graver."
    )

    def route(self, digest: str | None = None) -> Route:
        """Return the route. ``digest`` is a key of ``DIGEST_INTERVALS``."""
        return Route(
            tuple(self.environments),
            _events(self.events) or DEFAULT_EVENTS,
            Severity(self.severity),
            DIGEST_INTERVALS[digest] if digest else 0.0,
        )


class MessageSettings(RouteSettings):
    """What the settings of every receiver have that people read."""

    digest: Literal["hourly", "daily", "weekly"] | None = Field(
        None,
        description="Tell what is not urgent in one message, at most so often: the first deployment or `abreast notify "
        "send` after that time tells it. Starts are left out. Warnings and errors are told at once.",
    )

    def route(self, digest: str | None = None) -> Route:
        """Return the route."""
        return super().route(digest or self.digest)


def _events(names: Iterable[str]) -> frozenset[NotificationEvent]:
    return frozenset(map(NotificationEvent, names))
