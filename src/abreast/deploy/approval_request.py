"""What a deployment changes, gathered for the people who have to agree to it: from its plan, the ledger and git."""

from collections.abc import Iterator, Mapping, Sequence

from abreast.core.approvals.request import (
    GateOutcome,
    MigrationChange,
    ReleaseChanges,
    ServiceChange,
    VariableChange,
    cut,
)
from abreast.core.commits import Commit, CommitRange
from abreast.core.events import Event, EventKind
from abreast.core.flags import ALL_FLAGS, flag_variables
from abreast.core.gates import GateVerdict
from abreast.core.model import Chapter, LiveService, Service
from abreast.core.plan import DatabasePlan, DeploymentKind, Plan, ServicePlan
from abreast.core.rollback import release_number
from abreast.core.strategy import Strategy
from abreast.core.way_back import way_back
from abreast.deploy.runtime.platform_state import rollout_capabilities
from abreast.deploy.runtime.ports import FINGERPRINTS, Ports

MAX_COMMITS, MAX_LINES, MAX_TEXT = 20, 50, 300
"""Commits to name, things of any other kind, and characters of each text, such as the value of a variable."""

_EACH_SERVICE = (Chapter.BACKUP, Chapter.REHEARSE, Chapter.MIGRATE, Chapter.RELEASE, Chapter.STAGE, Chapter.CHECK)
_TOGETHER = (Chapter.TURN, Chapter.WATCH, Chapter.SETTLE)
"""The chapters after the approval: of services beside each other, then of all of them."""


def release_changes(ports: Ports, plan: Plan, events: Sequence[Event]) -> ReleaseChanges:
    """Return what a deployment changes. ``events`` are its events up to now, with those of its gates."""
    variables, unknown = _variables(ports, plan)
    is_backward = plan.kind is DeploymentKind.ROLLBACK
    live = _live(plan)
    since, until = {part.commit for part in live}, plan.commit
    if is_backward and live:
        since, until = {plan.commit}, live[-1].commit
    return ReleaseChanges(
        _shortened(ports.source.commits(since, until, MAX_COMMITS)),
        is_backward,
        tuple(map(_service, plan.traffic_changes))[:MAX_LINES],
        tuple(_migrations(plan)),
        tuple(_gates(plan, events))[:MAX_LINES],
        tuple(variables)[:MAX_LINES],
        _duration(ports.ledger.expected_durations(plan.environment), [part.name for part in plan.rollouts]),
        tuple(_way_back(ports, plan)),
        tuple(unknown),
    )


def _shortened(commits: CommitRange) -> CommitRange:
    newest = (
        Commit(commit.id, cut(commit.subject, MAX_TEXT), cut(commit.author, MAX_TEXT)) for commit in commits.newest
    )
    return CommitRange(commits.count, tuple(newest))


def _live(plan: Plan) -> list[LiveService]:
    """Return what is live of the services that change, the newest release last."""
    live = [part.previous for part in plan.traffic_changes if part.previous]
    return sorted(live, key=lambda part: release_number(part.release))


def _service(part: ServicePlan) -> ServiceChange:
    before = part.previous.release if part.previous else ""
    strategy = "" if part.strategy in {None, Strategy.BLUE_GREEN} else str(part.strategy)
    return ServiceChange(part.name, part.service.platform, part.action, cut(part.why, MAX_TEXT), before, strategy)


def _migrations(plan: Plan) -> Iterator[MigrationChange]:
    for part in plan.database_changes:
        data = part.database_plan
        if data and (steps := tuple(_steps(part, data))):
            yield MigrationChange(part.name, steps[:MAX_LINES], data.risks[:MAX_LINES])


def _steps(part: ServicePlan, data: DatabasePlan) -> Iterator[str]:
    used = part.service.database
    if data.copy_of is not None:
        yield "made anew"
    if data.command and used:
        yield f"run `{used.command if data.is_forward else used.down}`"
    yield from (f"apply {file}" for file in data.up)
    yield from (f"revert {file}" for file in data.down)
    if data.restore:
        yield f"restore {data.restore}"


def _gates(plan: Plan, events: Sequence[Event]) -> Iterator[GateOutcome]:
    """Yield what each gate said, and what was skipped, with who skipped it and why."""
    for event in events:
        if event.kind is EventKind.JUDGED:
            gate, verdict, why = (str(event.data[name]) for name in ("gate", "verdict", "why"))
            yield GateOutcome(gate, event.service or "", verdict, cut(why, MAX_TEXT))
    if plan.freeze_skipped is not None:
        yield GateOutcome("freeze", "", GateVerdict.SKIPPED, plan.freeze_skipped)
    for part in plan.database_changes:
        if part.database_plan and part.database_plan.unverified:
            yield GateOutcome("backup", part.name, GateVerdict.SKIPPED, part.database_plan.unverified)


# ── variables ──────────────────────────────────────────────────────────────────────────────────


def _variables(ports: Ports, plan: Plan) -> tuple[list[VariableChange], list[str]]:
    """Return the variables that differ from what is live, and what of that cannot be told."""
    changes, unknown = list[VariableChange](), list[str]()
    for part in plan.rollouts:
        declared = list(_declared_changes(part))
        changes += declared
        if part.previous is None:
            continue
        named = {change.name for change in declared}
        others = {
            name: same for name, same in _compare_secrets(ports, plan.environment, part).items() if name not in named
        }
        changed = (name for name, is_same in others.items() if is_same is False)
        changes += (VariableChange(part.name, name, "", "", is_secret=True) for name in changed)
        if names := [name for name, is_same in others.items() if is_same is None]:
            unknown.append(
                f"{part.name}: whether {', '.join(names)} differ from what is live cannot be told: {_NO_KEY}"
            )
    return changes, unknown


_NO_KEY = "they were noted with another machine's key; ABREAST_AUDIT_KEY is one for all"


def _compare_secrets(ports: Ports, environment: str, part: ServicePlan) -> Mapping[str, bool | None]:
    """Return whether each secret of a service has the value that is live of it, None if that cannot be told."""
    assert part.previous
    compared: Mapping[str, bool | None] = {}
    if FINGERPRINTS not in ports.only_here:
        compared = ports.ledger.compare_secrets(environment, part.previous.deployment)
    return {name: compared.get(f"{part.name}/{name}") for name in sorted(part.service.secrets)}


def _declared_changes(part: ServicePlan) -> Iterator[VariableChange]:
    """Yield what the definition of a service sets in another way than that of what is live."""
    before, after = _settings(part.previous.definition) if part.previous else {}, _settings(part.service)
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        is_secret = name in part.service.secrets or bool(part.previous and name in part.previous.definition.secrets)
        shown = [None if value is None else "" if is_secret else cut(value[1], MAX_TEXT) for value in (old, new)]
        yield VariableChange(part.name, name, shown[0], shown[1], is_secret)


def _settings(service: Service) -> Mapping[str, tuple[str, str]]:
    """Return each variable with its kind, and its value, or of a secret where that comes from."""
    flags = {name: value for name, value in flag_variables(service.flags).items() if name != ALL_FLAGS}
    plain = {name: ("plain", value) for name, value in {**flags, **service.env}.items()}
    return plain | {name: ("secret", template) for name, template in service.secrets.items()}


# ── duration and way back ──────────────────────────────────────────────────────────────────────


def _duration(expected: Mapping[tuple[str | None, str], float], services: Sequence[str]) -> float | None:
    """Return the seconds from the approval on. None if one of the services was never staged before."""
    if not services or any((name, Chapter.STAGE) not in expected for name in services):
        return None
    longest = max(sum(expected.get((name, chapter), 0.0) for chapter in _EACH_SERVICE) for name in services)
    return longest + sum(expected.get((None, chapter), 0.0) for chapter in _TOGETHER)


def _way_back(ports: Ports, plan: Plan) -> Iterator[str]:
    """Yield how the deployment is taken back once it is live, and what makes that slow or incomplete."""
    yield from way_back(plan)
    for part in plan.rollouts:
        if part.previous and not ports.artifacts.has(part.previous.artifact):
            yield f"{part.name}: the artifact of {part.previous.release} is gone, so it is built anew"
        elif part.previous and part.strategy is None and not rollout_capabilities(ports, part).has_candidates:
            platform = part.service.platform
            yield f"{part.name}: {platform} keeps no version ready, so {part.previous.release} is deployed there again"
