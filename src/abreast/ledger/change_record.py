"""The record of one change: what it was, who answers for it, how it was tried, and the way back. Made of entries."""

from collections.abc import Iterator, Mapping, Sequence

from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter
from abreast.core.plan import Action, Plan, ServicePlan
from abreast.core.risk import Risk
from abreast.core.way_back import way_back
from abreast.ledger.acts import Act
from abreast.ledger.change_report import Change
from abreast.ledger.durations import chapter_durations
from abreast.ledger.interface import Deployment, ReleasePart


@dataclass(frozen=True, slots=True)
class ChangedService:
    """What a change does with one service. ``artifact`` and ``image`` have digests, "" if it got none.

    ``before`` is the release that was live, "" for none; ``migrations`` are those of its database.
    """

    name: str
    action: str
    why: str
    platform: str
    before: str
    commit: str
    artifact: str
    image: str
    migrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """A gate, a check of a candidate, or the watch of what users reach, and its end. ``seconds``: None if unknown."""

    what: str
    outcome: str
    detail: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One change. Times are ISO 8601 in UTC, ``finished`` is "" while it runs. ``risk`` is as it was known before.

    ``begun`` says by whom it was begun, with which evidence; ``approvals`` and ``skipped`` are acts, too.
    """

    id: str
    project: str
    environment: str
    kind: str
    release: str
    commit: str
    reason: str
    run_url: str
    risk: Risk | None
    begun: Act
    approval_rule: str
    approvals: tuple[Act, ...]
    emergency: str
    skipped: tuple[Act, ...]
    services: tuple[ChangedService, ...]
    validation: tuple[Validation, ...]
    way_back: tuple[str, ...]
    outcome: str
    outcome_detail: str
    started: str
    finished: str


_UNDONE = frozenset({"turned-back", "cancelled", "superseded"})
"""The outcomes of changes of which nothing is left."""


def make_change_record(
    change: Change, deployment: Deployment, plan: Plan, events: Sequence[Event], parts: Mapping[str, ReleasePart]
) -> ChangeRecord:
    """Return the record of a change. ``parts`` are those of its release."""
    rule = plan.approval
    return ChangeRecord(
        id=plan.deployment, project=plan.project, environment=plan.environment, kind=plan.kind.value,
        release=plan.release, commit=plan.commit, reason=plan.reason, run_url=plan.run_url, risk=plan.risk,
        begun=change.begun,
        approval_rule=f"{rule.required} of {', '.join(rule.people)}" if rule else "",
        approvals=change.approvals, emergency=change.emergency, skipped=change.skipped,
        services=tuple(_changed_service(part, parts.get(part.name)) for part in plan.services if _is_changed(part)),
        validation=(*_gates(change), *_checks(events)),
        way_back=tuple(way_back(plan)) if change.outcome not in _UNDONE else (f"none is needed: {change.outcome}",),
        outcome=change.outcome, outcome_detail=change.end.detail if change.end else "",
        started=deployment.started, finished=deployment.finished or "",
    )  # fmt: skip


def _is_changed(part: ServicePlan) -> bool:
    return part.action is not Action.KEEP or part.database_plan is not None


def _changed_service(part: ServicePlan, built: ReleasePart | None) -> ChangedService:
    data, used = part.database_plan, part.service.database
    command = (used.command or "",) if data and data.command and used else ()
    migrations = (*command, *data.up, *data.down) if data else ()
    is_deployed = part.action is Action.DEPLOY
    artifact = part.artifact or (built.artifact if built else "")
    return ChangedService(
        part.name, part.action.value, part.why, part.service.platform, part.previous.release if part.previous else "",
        built.commit if built else part.commit, artifact if is_deployed else "", built.image if built else "",
        migrations,
    )  # fmt: skip


def _gates(change: Change) -> Iterator[Validation]:
    yield from (Validation("gate", gate.outcome, gate.detail) for gate in change.gates)


_CHECKS = {
    Chapter.REHEARSE: "migration rehearsed on a copy",
    Chapter.CHECK: "health of the candidate",
    Chapter.WATCH: "health with users",
}
_OUTCOMES = {EventKind.FINISHED: "passed", EventKind.FAILED: "failed", EventKind.STOPPED: "stopped"}


def _checks(events: Sequence[Event]) -> Iterator[Validation]:
    """Yield how the candidates and the new versions were found; what failed is not told again as passed."""
    durations = chapter_durations(events)
    failed = {event.chapter for event in events if event.kind is EventKind.FAILED and event.chapter is Chapter.WATCH}
    for event in events:
        if event.chapter not in _CHECKS or event.kind not in _OUTCOMES:
            continue
        if event.kind is EventKind.FINISHED and event.chapter in failed:
            continue
        who = f"{event.service}: " if event.service else ""
        seconds = durations.get((event.service, event.chapter.value))
        yield Validation(f"{who}{_CHECKS[event.chapter]}", _OUTCOMES[event.kind], event.message, seconds)
