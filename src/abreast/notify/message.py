"""What is told, as one value that every receiver shows in its own way. Nothing here talks to anybody."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from abreast.core.approvals.request import ApprovalRequest, Section, cut, request_sections
from abreast.core.events import Event
from abreast.core.frozen_dataclass import dataclass
from abreast.core.next_commands import next_commands
from abreast.core.plan import DeploymentKind, ServicePlan
from abreast.core.states import DeploymentState
from abreast.core.wording import counted
from abreast.notify.interface import Occurrence, Snapshot
from abreast.notify.notification_events import EVENT_TRAITS, NotificationEvent, Severity

T = TypeVar("T")

MAX_LOG_LINES, MAX_LOG_CHARACTERS, MAX_FAILURES, MAX_TEXT = 12, 2500, 3, 300
"""Lines and characters of a failed command's output, failures in one message, characters of any other text."""

_STEPS = ((MAX_LOG_CHARACTERS, 50, MAX_TEXT), (1000, 50, MAX_TEXT), (300, 20, MAX_TEXT), (0, 10, 100), (0, 0, 50))
"""Characters of each output, services and lines, and characters of other texts: less and less of each."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What is said of one service. ``url`` is where users reach it, "" if that is not the news."""

    name: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class FailureReport:
    """What failed, and the last lines of its output."""

    text: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told of one event. All texts are redacted, and plain: a receiver escapes what means something to it.

    ``kind`` and ``deployment`` are those of a deployment, if it is about one. ``at`` is ISO 8601 in UTC, ``duration``
    in seconds, None before the end. ``next_commands`` lead on from here, the usual one first. ``details`` has a line
    for each thing that is told together. ``is_repeat``: it may have arrived before, since abreast was killed or the
    answer was lost. ``request`` is the request for an approval that it tells of, and ``sections`` are its texts.
    ``topic`` is that of an occurrence.
    """

    event: NotificationEvent
    project: str
    environment: str
    title: str
    at: str
    kind: DeploymentKind | None = None
    deployment: str = ""
    release: str = ""
    commit: str = ""
    subject: str = ""
    author: str = ""
    reason: str = ""
    run_url: str = ""
    duration: float | None = None
    services: tuple[ServiceStatus, ...] = ()
    failures: tuple[FailureReport, ...] = ()
    details: tuple[str, ...] = ()
    next_commands: tuple[str, ...] = ()
    is_repeat: bool = False
    sections: tuple[Section, ...] = ()
    request: ApprovalRequest | None = None
    topic: str = ""

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return self.event.severity

    @property
    def headline(self) -> str:
        """All of it in one line."""
        repeated = " (may have been sent before)" if self.is_repeat else ""
        return f"{self.project}: {self.title}{repeated}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is known besides, as names and values."""
        commit = f"{self.commit[:7]} {self.subject}".strip()
        known = (("Commit", commit), ("By", self.author), ("Reason", self.reason), ("Run", self.run_url))
        return tuple((name, value) for name, value in known if value)


def deployment_message(snapshot: Snapshot, event: NotificationEvent) -> Message:
    """Return what is told of an event of a deployment."""
    plan = snapshot.plan
    is_over = snapshot.finished is not None
    request = snapshot.request if event is NotificationEvent.APPROVAL else None
    return Message(
        event,
        plan.project,
        plan.environment,
        _title(snapshot, event),
        snapshot.finished or _latest(snapshot),
        kind=plan.kind,
        deployment=plan.deployment,
        release=plan.release,
        commit=plan.commit,
        subject=cut(snapshot.subject, MAX_TEXT),
        author=cut(plan.author, MAX_TEXT),
        reason=cut(plan.reason, MAX_TEXT),
        run_url=plan.run_url,
        duration=_duration(snapshot),
        services=tuple(_service_statuses(snapshot, is_over=is_over or snapshot.state is DeploymentState.STUCK)),
        failures=tuple(map(_failure_report, snapshot.failures[:MAX_FAILURES])),
        next_commands=_next_commands(snapshot),
        sections=request_sections(request) if request else (),
        request=request,
    )


def occurrence_message(occurrence: Occurrence) -> Message:
    """Return what is told of something that happened while nothing was deployed."""
    event = NotificationEvent(occurrence.kind)
    title = EVENT_TRAITS[event].title.format(what="", environment=occurrence.environment)
    text, _, rest = occurrence.text.partition("\n")
    failures = (FailureReport(cut(text, MAX_TEXT), rest[-MAX_LOG_CHARACTERS:]),) if text else ()
    return Message(
        event,
        occurrence.project,
        occurrence.environment,
        title,
        occurrence.at,
        failures=failures,
        topic=occurrence.topic,
    )


def digest_message(held: Sequence[Snapshot]) -> Message:
    """Return what is told of several ended deployments of one environment, oldest first."""
    last = held[-1]
    event = NotificationEvent.DIGEST
    title = EVENT_TRAITS[event].title.format(what=counted(len(held), "deployment"), environment=last.plan.environment)
    details = tuple(_digest_line(snapshot) for snapshot in held)
    at = last.finished or last.started
    return Message(event, last.plan.project, last.plan.environment, title, at, details=details)


def fit(message: Message, size: Callable[[Message], int], limit: int) -> Message:
    """Return the message with as much of its output, details and services as ``size`` counts within ``limit``."""
    shortened = message
    for step in _STEPS:
        shortened = _shortened(message, *step)
        if size(shortened) <= limit:
            break
    return shortened


def _shortened(message: Message, log: int, count: int, text: int) -> Message:
    return replace(
        message,
        subject=cut(message.subject, text),
        author=cut(message.author, text),
        reason=cut(message.reason, text),
        failures=tuple(
            FailureReport(cut(failure.text, text), failure.log[-log:] if log else "") for failure in message.failures
        ),
        services=_first(message.services, count, lambda left: ServiceStatus(f"and {left} more", "")),
        details=_first(message.details, count, lambda left: f"and {left} more"),
        sections=tuple(section.shortened(count, text) for section in message.sections),
    )


def _first(items: tuple[T, ...], count: int, rest: Callable[[int], T]) -> tuple[T, ...]:
    return items if len(items) <= count else (*items[:count], rest(len(items) - count))


def _title(snapshot: Snapshot, event: NotificationEvent) -> str:
    plan = snapshot.plan
    end = _duration_text(_duration(snapshot))
    if event is NotificationEvent.STARTED and not plan.kind.is_releasing:
        return f"{plan.kind.capitalize()} in {plan.environment} ({plan.release})"
    if event is NotificationEvent.STARTED and plan.kind is DeploymentKind.ROLLBACK:
        return f"Rolling {plan.environment} back to {plan.release}"
    if event is NotificationEvent.SUCCEEDED and not plan.kind.is_releasing:
        return f"{plan.kind.capitalize()} in {plan.environment} succeeded{end}"
    what = plan.release if plan.kind.is_releasing else plan.kind.capitalize()
    return EVENT_TRAITS[event].title.format(what=what, environment=plan.environment) + end


def _service_statuses(snapshot: Snapshot, *, is_over: bool) -> Iterator[ServiceStatus]:
    parts = snapshot.plan.traffic_changes if is_over else snapshot.plan.rollouts
    for part in parts:
        platform = part.service.platform
        yield _live_status(snapshot, part) if is_over else ServiceStatus(part.name, f"to {platform}")


def _live_status(snapshot: Snapshot, part: ServicePlan) -> ServiceStatus:
    """Return what users reach of a service now, by what the ledger says is live."""
    live, platform = snapshot.live.get(part.name), part.service.platform.capitalize()
    if live is None:
        return ServiceStatus(part.name, f"not on {platform}")
    if live.deployment == snapshot.plan.deployment:
        return ServiceStatus(part.name, f"✅ Deployed to {platform}", live.version.url)
    is_rollout = part in snapshot.plan.rollouts
    return ServiceStatus(part.name, f"↩ {live.release} stays on {platform}" if is_rollout else f"still on {platform}")


def _failure_report(event: Event) -> FailureReport:
    log = event.data.get("log", ())
    lines = [str(line) for line in log] if isinstance(log, list | tuple) else []
    text = f"{event.service or 'deployment'}, {event.chapter}: {event.message}"
    return FailureReport(cut(text, MAX_TEXT), "\n".join(lines[-MAX_LOG_LINES:])[-MAX_LOG_CHARACTERS:])


def _next_commands(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the way back from what succeeded, and the way on from what did not. None while all is as planned."""
    plan, state = snapshot.plan, snapshot.state
    if snapshot.is_removed:
        return ()
    if state is DeploymentState.SUCCEEDED and plan.kind.is_releasing:
        return (f"abreast rollback --env {plan.environment}",)
    if state.is_final or state in {DeploymentState.STUCK, DeploymentState.APPROVING}:
        return next_commands(state, plan.kind, plan.deployment, plan.environment)
    return (f"abreast cancel {plan.deployment}",) if state is not DeploymentState.TURNING_BACK else ()


def _digest_line(snapshot: Snapshot) -> str:
    plan = snapshot.plan
    event = NotificationEvent(snapshot.state)
    return cut(f"{_title(snapshot, event)}: {plan.commit[:7]} {snapshot.subject}", MAX_TEXT)


def _latest(snapshot: Snapshot) -> str:
    return snapshot.events[-1].at if snapshot.events else snapshot.started


def _duration(snapshot: Snapshot) -> float | None:
    if snapshot.finished is None:
        return None
    took = datetime.fromisoformat(snapshot.finished) - datetime.fromisoformat(snapshot.started)
    return max(0.0, took.total_seconds())


def _duration_text(duration: float | None) -> str:
    if duration is None:
        return ""
    minutes, seconds = divmod(round(duration), 60)
    return f" after {minutes} min {seconds} s" if minutes else f" after {seconds} s"
