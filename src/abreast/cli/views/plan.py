"""A plan, as text and as JSON."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from abreast.core.codec import dump
from abreast.core.flags import FlagChange, flag_changes
from abreast.core.model import BreakingChangePolicy
from abreast.core.plan import Action, Plan, ServicePlan
from abreast.core.planner import rollout_waves
from abreast.core.risk import Risk
from abreast.core.strategy import Strategy
from abreast.core.wording import counted
from abreast.deploy.refusals import Readiness

_SYMBOLS = {Action.DEPLOY: "+", Action.KEEP: "=", Action.REMOVE: "-"}


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield what the deployment would do to each service and why, its gates, and the order of rollouts."""
    release = f", release {plan.release}" if plan.release else ""
    yield f"{plan.project} → {plan.environment}: commit {plan.commit[:7]}{release}"
    yield from _whole_plan_lines(plan)
    width = max(len(part.name) for part in plan.services)
    for part in plan.services:
        symbol = _SYMBOLS[part.action]
        yield f"  {symbol} {part.name:<{width}}  {part.action:<6}  {part.why}"
        if text := strategy_text(part):
            yield f"      {text}"
        for note in part.notes:
            yield f"      note: {note}"
        if part.attestation:
            yield f"      {part.attestation}"
        yield from _database_lines(part)
    if changes := flag_changes(plan.services):
        yield f"  flags: {', '.join(flag_texts(plan, changes))}"
    yield from _gate_lines(plan)
    if plan.approval and plan.traffic_changes:
        asked = f"{plan.approval.required} of {', '.join(plan.approval.people)}, after the gates and builds"
        yield f"  approval: {asked if plan.awaits_approval else 'SKIPPED, since this is an emergency'}"
    if plan.freeze_skipped is not None:
        yield f"  a freeze is SKIPPED: {plan.freeze_skipped}"
    if plan.risk:
        yield f"  risk: {risk_text(plan.risk)}"
        yield from (f"      +{reason.points} {reason.text}" for reason in plan.risk.reasons)
    waves = rollout_waves(plan.rollouts)
    if len(waves) > 1:
        yield "  order: " + " → ".join(" ∥ ".join(wave) for wave in waves) + ", then traffic of all switches together"


def strategy_text(part: ServicePlan) -> str:
    """Return how users get to a service's new version, "" if by the usual way."""
    return "" if part.strategy in {None, Strategy.BLUE_GREEN} else f"strategy: {part.strategy}"


def _whole_plan_lines(plan: Plan) -> Iterator[str]:
    """Yield what a person should know of the plan as a whole, before its services."""
    if plan.superseded:
        yield f"  SUPERSEDED, nothing is deployed: {plan.superseded}"
        yield "  to deploy it in spite of that: abreast deploy --allow-older --reason …"
    if plan.emergency:
        yield "  EMERGENCY: a candidate goes live with its first healthy answer, and everybody is told at once"
    for note in plan.notes:
        yield f"  note: {note}"


def flag_texts(plan: Plan, changes: Sequence[FlagChange]) -> Iterator[str]:
    """Yield each change of a flag, with its services if others that are deployed keep the value that they have."""
    for change in changes:
        live = [part.name for part in plan.rollouts if part.previous]
        yield str(change) if list(change.services) == live else f"{change} ({', '.join(change.services)})"


def readiness_lines(readiness: Readiness) -> Iterator[str]:
    """Yield why the plan cannot be deployed now, and what else a person should know."""
    for warning in readiness.warnings:
        yield f"  note: {warning}"
    if readiness.refusals:
        yield "deploy would refuse this:"
    for error in readiness.refusals:
        yield from (f"  {line}" for line in str(error).splitlines())


def _gate_lines(plan: Plan) -> Iterator[str]:
    """Yield which gates must pass, and which are skipped and why."""
    if plan.gates:
        yield "  gates: " + " ∥ ".join(gate.key for gate in plan.gates if gate.skipped is None)
    for gate in plan.gates:
        if gate.skipped is not None:
            yield f"  gate {gate.key} is SKIPPED: {gate.skipped}"
        elif gate.threshold and gate.threshold.skipped is not None:
            yield f"  coverage of {gate.key} is SKIPPED: {gate.threshold.skipped}"


def risk_text(risk: Risk) -> str:
    """Return a risk in two words."""
    return f"{risk.level} ({counted(risk.points, 'point')})"


def _database_lines(part: ServicePlan) -> Iterator[str]:
    """Yield what the deployment would do to the service's database."""
    for step in database_steps(part, str, "`{}`".format):
        yield f"      database: {step}"
    for risk, is_blocked in breaking_changes(part):
        yield f"      BREAKING{' (blocked)' if is_blocked else ''}: {risk}"


def database_steps(part: ServicePlan, name: Callable[[str], str], command: Callable[[str], str]) -> Iterator[str]:
    """Yield what happens to a service's database, with names and commands as ``name`` and ``command`` show them."""
    data, used = part.database_plan, part.service.database
    if data is None:
        return
    is_preview = bool(used and used.copy)
    first = "" if is_preview else "back up, rehearse, then "
    if data.copy_of is not None:
        yield f"make it anew, {f'from {name(data.copy_of)}' if data.copy_of else 'empty'}"
    if data.command and used and data.is_forward:
        yield f"{first}run {command(used.command or '')}"
    if data.command and used and data.is_backward:
        yield f"run {command(used.down or '')} after the traffic switch and a backup"
    yield from (f"{first}apply {name(file)}" for file in data.up)
    yield from (f"revert {name(file)} after the traffic switch and a backup" for file in data.down)
    if data.restore:
        yield f"back up, then restore {name(data.restore)}"


def breaking_changes(part: ServicePlan) -> Iterator[tuple[str, bool]]:
    """Yield what would break the running version of a service, each with whether that stops the deployment."""
    if data := part.database_plan:
        yield from ((risk, data.breaking is BreakingChangePolicy.BLOCK) for risk in data.risks)


def risk_json(risk: Risk | None) -> dict[str, Any] | None:
    """Return a risk as JSON values, None for none."""
    return {**dump(risk), "points": risk.points} if risk else None


def plan_json(plan: Plan, readiness: Readiness) -> dict[str, Any]:
    """Return the plan as JSON values."""
    return {
        "refusals": [{"what": error.what, "need": error.need, "next": error.next} for error in readiness.refusals],
        "warnings": list(readiness.warnings),
        "project": plan.project,
        "environment": plan.environment,
        "commit": plan.commit,
        "release": plan.release or None,
        "superseded": plan.superseded or None,
        "notes": list(plan.notes),
        "risk": risk_json(plan.risk),
        "services": {
            part.name: {
                "action": part.action.value,
                "why": part.why,
                "commit": part.commit,
                "changed": [{"file": file, "pattern": pattern} for file, pattern in part.changed_files],
                "strategy": part.strategy.value if part.strategy else None,
                "notes": list(part.notes),
                "attestation": dump(part.attestation) if part.attestation else None,
                "database": dump(part.database_plan) if part.database_plan else None,
            }
            for part in plan.services
        },
        "flags": [dump(change) for change in flag_changes(plan.services)],
        "gates": [
            {
                "name": gate.name,
                "service": gate.service,
                "run": gate.run,
                "skipped": gate.skipped,
                "coverage": dump(gate.threshold) if gate.threshold else None,
            }
            for gate in plan.gates
        ],
        "order": dump(rollout_waves(plan.rollouts), tuple[tuple[str, ...], ...]),
    }
