"""What can be told: events of deployments and of environments, and how grave each is."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from abreast.core.approvals.rule import ApprovalState
from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.notify.interface import Snapshot


class Severity(StrEnum):
    """How grave an event is, in PagerDuty's words. The later, the graver."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    def is_at_least(self, other: "Severity") -> bool:
        """Whether it is as grave as the other one, or graver."""
        order = list(Severity)
        return order.index(self) >= order.index(other)


class NotificationEvent(StrEnum):
    """What somebody is told of. ``EVENT_TRAITS`` says how."""

    STARTED = "started"
    EMERGENCY = "emergency"
    APPROVAL = "approval"
    FAILED = "failed"
    TURNING_BACK = "turning-back"
    SUCCEEDED = "succeeded"
    TURNED_BACK = "turned-back"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    STUCK = "stuck"
    REMOVED = "removed"
    DEGRADED = "degraded"
    RECOVERED = "recovered"
    BACKUP_FAILED = "backup-failed"
    BACKUP_RESUMED = "backup-resumed"
    DRILL_FAILED = "drill-failed"
    INCIDENT_OPENED = "incident-opened"
    INCIDENT_REMINDER = "incident-reminder"
    INCIDENT_RESOLVED = "incident-resolved"
    INCIDENT_CLOSED = "incident-closed"
    DIGEST = "digest"
    TEST = "test"

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return EVENT_TRAITS[self].severity

    @property
    def is_good(self) -> bool:
        """Whether it is good news, which receivers show in green."""
        return EVENT_TRAITS[self].is_good


@dataclass(frozen=True, slots=True)
class EventTraits:
    """How an event is told. ``title`` has the fields ``what`` (a release, or an operation) and ``environment``.

    ``by_default``: whether a route that names no events has it.
    """

    severity: Severity
    title: str
    by_default: bool = True
    is_good: bool = False


EVENT_TRAITS = {
    NotificationEvent.STARTED: EventTraits(Severity.INFO, "Deploying {what} to {environment}"),
    NotificationEvent.EMERGENCY: EventTraits(Severity.ERROR, "Emergency: {environment} is rolled back to {what}"),
    NotificationEvent.APPROVAL: EventTraits(Severity.WARNING, "{what} waits for an approval in {environment}"),
    NotificationEvent.FAILED: EventTraits(Severity.ERROR, "{what} failed and is turned back in {environment}"),
    NotificationEvent.TURNING_BACK: EventTraits(
        Severity.WARNING, "{what} is turned back in {environment}", by_default=False
    ),
    NotificationEvent.SUCCEEDED: EventTraits(Severity.INFO, "{what} is live in {environment}", is_good=True),
    NotificationEvent.TURNED_BACK: EventTraits(Severity.ERROR, "{what} failed and was turned back in {environment}"),
    NotificationEvent.CANCELLED: EventTraits(Severity.WARNING, "{what} was cancelled in {environment}"),
    NotificationEvent.SUPERSEDED: EventTraits(
        Severity.INFO, "{what} was not deployed to {environment}: a newer commit is", by_default=False
    ),
    NotificationEvent.STUCK: EventTraits(
        Severity.CRITICAL, "{what} failed and is NOT fully turned back: a person is needed in {environment}"
    ),
    NotificationEvent.REMOVED: EventTraits(Severity.INFO, "The preview {environment} is removed", by_default=False),
    NotificationEvent.DEGRADED: EventTraits(Severity.ERROR, "{environment} is degraded"),
    NotificationEvent.RECOVERED: EventTraits(Severity.INFO, "{environment} has recovered", is_good=True),
    NotificationEvent.BACKUP_FAILED: EventTraits(Severity.ERROR, "A backup failed in {environment}"),
    NotificationEvent.BACKUP_RESUMED: EventTraits(
        Severity.INFO, "The backup works again in {environment}", is_good=True
    ),
    NotificationEvent.DRILL_FAILED: EventTraits(Severity.ERROR, "The drill failed in {environment}"),
    # The deployment itself says that it failed, and that it was turned back: these two would say it again.
    NotificationEvent.INCIDENT_OPENED: EventTraits(
        Severity.ERROR, "An incident began in {environment}", by_default=False
    ),
    NotificationEvent.INCIDENT_RESOLVED: EventTraits(
        Severity.INFO, "An incident is resolved in {environment}", by_default=False, is_good=True
    ),
    NotificationEvent.INCIDENT_REMINDER: EventTraits(Severity.ERROR, "An incident is open in {environment}"),
    NotificationEvent.INCIDENT_CLOSED: EventTraits(
        Severity.INFO, "An incident is closed in {environment}", is_good=True
    ),
    NotificationEvent.DIGEST: EventTraits(Severity.INFO, "{what} in {environment}", by_default=False, is_good=True),
    NotificationEvent.TEST: EventTraits(Severity.INFO, "This is how abreast tells you", by_default=False),
}
"""Each event. One that is new is a name above and a line here."""

EventName = Literal[
    "started", "emergency", "approval", "failed", "turning-back", "succeeded", "turned-back", "cancelled", "superseded",
    "stuck", "removed", "degraded", "recovered", "backup-failed", "backup-resumed", "drill-failed",
    "incident-opened", "incident-reminder", "incident-resolved", "incident-closed",
]  # fmt: skip
"""The events that a route can name: all but those that no route decides about."""


def reached_events(snapshot: Snapshot) -> Sequence[NotificationEvent]:
    """Return what can be said of a deployment as it is now, the latest last. What is over, but for failures, is not."""
    if snapshot.is_removed:
        return (NotificationEvent.REMOVED,)
    failed = (NotificationEvent.FAILED,) if snapshot.failures else ()
    match snapshot.state:
        case DeploymentState.WAITING | DeploymentState.RUNNING:
            begun = NotificationEvent.EMERGENCY if snapshot.plan.emergency else NotificationEvent.STARTED
            return begun, *failed
        case DeploymentState.APPROVING:
            is_decided = snapshot.request is not None and snapshot.request.state is not ApprovalState.PENDING
            return NotificationEvent.STARTED, *(() if is_decided else (NotificationEvent.APPROVAL,))
        case DeploymentState.TURNING_BACK:
            return NotificationEvent.TURNING_BACK, *failed
        case DeploymentState.TURNED_BACK if snapshot.plan.kind is DeploymentKind.DRILL:
            return (NotificationEvent.DRILL_FAILED,)
        case DeploymentState.TURNED_BACK | DeploymentState.STUCK:
            return NotificationEvent.FAILED, NotificationEvent(snapshot.state)
        case _:
            return (NotificationEvent(snapshot.state),)
