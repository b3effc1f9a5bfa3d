"""When an incident begins, and how far it is: by the events of its deployment, and by what followed it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.incidents.context import LaterSuccess
from abreast.core.incidents.model import IncidentAct, IncidentKind, IncidentSeverity, IncidentStatus
from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.states import DeploymentState

PRODUCTION = "production"
"""The environment whose users count most."""

_REACHED = frozenset({Chapter.MIGRATE, Chapter.RELEASE, Chapter.STAGE, Chapter.CHECK, Chapter.TURN, Chapter.WATCH})
"""The chapters that change something outside: what fails before them is no incident."""

_GIVEN_UP = frozenset({DeploymentState.CANCELLED, DeploymentState.SUPERSEDED})
_TURNED_BACK = frozenset({DeploymentState.TURNED_BACK, DeploymentState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Opening:
    """How an incident began: ``event`` opened it."""

    kind: IncidentKind
    event: Event
    detected: str


@dataclass(frozen=True, slots=True)
class Phase:
    """How far an incident is, and when it became that, and what it was before."""

    status: IncidentStatus
    open_since: str
    resolved: str = ""
    closed: str = ""


def find_opening(plan: Plan, events: Sequence[Event]) -> Opening | None:
    """Return how the incident of a deployment began, None if it has none.

    A turn-back opens one if something failed after the gates and builds, or if users may have reached the new version.
    So does every rollback that begins, and what is degraded afterwards.
    """
    running = next((event for event in events if event.state is DeploymentState.RUNNING), None)
    if plan.kind is DeploymentKind.ROLLBACK and running:
        return Opening(IncidentKind.ROLLBACK, running, events[0].at)
    back = next((event for event in events if event.state is DeploymentState.TURNING_BACK), None)
    before = [event for event in events if back and event.seq < back.seq]
    started = {event.chapter for event in before if event.kind is EventKind.STARTED}
    failed = next((event for event in before if event.kind is EventKind.FAILED), None)
    if plan.kind is DeploymentKind.DEPLOY and back and (Chapter.TURN in started or (failed and started & _REACHED)):
        return Opening(IncidentKind.TURN_BACK, back, (failed or back).at)
    degraded = next((event for event in events if act_of(event) is IncidentAct.DEGRADED), None)
    return Opening(IncidentKind.DEGRADED, degraded, degraded.at) if degraded else None


def act_of(event: Event) -> IncidentAct | None:
    """Return what an event adds to an incident, None if it is of the deployment."""
    return IncidentAct(str(event.data["act"])) if event.kind is EventKind.INCIDENT else None


def phase_of(opening: Opening, events: Sequence[Event], later: Sequence[LaterSuccess]) -> Phase:
    """Return how far an incident is."""
    phase = Phase(IncidentStatus.OPEN, opening.event.at)
    signals = [
        *_own_signals(opening, events),
        *((success.seq, success.at, IncidentStatus.RESOLVED) for success in later),
    ]
    for seq, at, status in sorted(signals):
        if seq > opening.event.seq:
            phase = _moved(phase, status, at)
    return phase


def _own_signals(opening: Opening, events: Sequence[Event]) -> Iterator[tuple[int, str, IncidentStatus]]:
    acts = {
        IncidentAct.CLOSE: IncidentStatus.CLOSED,
        IncidentAct.RECOVERED: IncidentStatus.RESOLVED,
        IncidentAct.REOPEN: IncidentStatus.OPEN,
        IncidentAct.DEGRADED: IncidentStatus.OPEN,
    }
    for event in events:
        if event.state and _is_way_out(opening.kind, event):
            yield event.seq, event.at, IncidentStatus.RESOLVED
        elif (act := act_of(event)) in acts:
            yield event.seq, event.at, acts[act]


def _is_way_out(kind: IncidentKind, event: Event) -> bool:
    """Whether a deployment came to a state in which users are on a good version, or nobody wants another one."""
    if kind is IncidentKind.TURN_BACK:
        return event.state in _TURNED_BACK
    was_refused = event.state is DeploymentState.TURNED_BACK and event.chapter is Chapter.APPROVAL
    return kind is IncidentKind.ROLLBACK and (
        event.state is DeploymentState.SUCCEEDED or event.state in _GIVEN_UP or was_refused
    )


def _moved(phase: Phase, status: IncidentStatus, at: str) -> Phase:
    """Return the phase after a signal. What is resolved or closed stays so until it is opened again."""
    if status is IncidentStatus.OPEN:
        return phase if phase.status is IncidentStatus.OPEN else Phase(status, at)
    if status is IncidentStatus.CLOSED:
        return phase if phase.closed else Phase(status, phase.open_since, phase.resolved, at)
    return Phase(status, phase.open_since, at) if phase.status is IncidentStatus.OPEN else phase


@dataclass(frozen=True, slots=True)
class UserImpact:
    """Whether users were, or are, on the bad version; and whether the deployment is stuck."""

    were_affected: bool
    are_affected: bool
    is_stuck: bool


def severity_of(environment: str, impact: UserImpact) -> tuple[IncidentSeverity, str]:
    """Return how severe an incident is now, and why."""
    if impact.is_stuck:
        return IncidentSeverity.SEV1, "it is stuck: a person is needed"
    if impact.are_affected:
        return IncidentSeverity.SEV1, f"users of {environment} are affected now"
    if not impact.were_affected:
        return IncidentSeverity.SEV4, "users saw nothing"
    if environment == PRODUCTION:
        return IncidentSeverity.SEV2, "users of production were affected"
    return IncidentSeverity.SEV3, f"users of {environment} were affected"


def seconds_between(since: str, until: str) -> float:
    """Return the seconds from one moment to another; none if a clock went back."""
    return max(0.0, (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds())
