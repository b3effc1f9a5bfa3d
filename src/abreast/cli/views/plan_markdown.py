"""A plan as Markdown, for the summary of a CI run and for a comment on a pull request."""

from collections.abc import Iterator

from abreast.cli.views.markdown import code, code_block, join_blocks, plain, table
from abreast.cli.views.plan import breaking_changes, database_steps, flag_texts, risk_text, strategy_text
from abreast.core.flags import flag_changes
from abreast.core.plan import Plan, ServicePlan
from abreast.core.planner import rollout_waves
from abreast.core.way_back import way_back_command
from abreast.core.wording import counted
from abreast.deploy.refusals import Readiness

MAX_BYTES = 60_000
"""GitHub takes a comment of 65,536 characters."""

MAX_ROWS = 100
"""Services, notes and gates to show."""


def plan_markdown(plan: Plan, readiness: Readiness | None = None) -> str:
    """Return what a deployment would do and why, its migrations, its gates, and the way back; at most 60,000 bytes.

    Text of the repository, such as names of files, is shown as it is: it can be no link, mention or HTML.
    """
    return join_blocks(_blocks(plan, readiness or Readiness()), MAX_BYTES)


def _blocks(plan: Plan, readiness: Readiness) -> Iterator[str]:
    release = f", release {plain(plan.release)}" if plan.release else ""
    yield f"### {plain(plan.project)} → {plain(plan.environment)}"
    yield f"Commit {code(plan.commit[:7])}{release}: {_headline(plan)}."
    if plan.superseded:
        yield f"**Superseded, so nothing would be deployed:** {plain(plan.superseded)}."
    if readiness.refusals:
        yield "**`abreast deploy` would refuse this:**"
        yield code_block([line for error in readiness.refusals[:MAX_ROWS] for line in str(error).splitlines()])
    rows = [(plain(part.name), part.action.value, plain(part.why)) for part in plan.services[:MAX_ROWS]]
    yield table(("service", "action", "why"), rows)
    yield _bullets("Databases", (text for part in plan.services for text in _database_texts(part)))
    yield _bullets("Flags", map(code, flag_texts(plan, flag_changes(plan.services))))
    yield _bullets("Notes", [*_notes(plan), *map(code, readiness.warnings)])
    yield _bullets("Gates", (_gate_text(plan, number) for number in range(len(plan.gates))))
    waves = rollout_waves(plan.rollouts)
    if len(waves) > 1:
        order = " → ".join(" ∥ ".join(map(plain, wave)) for wave in waves)
        yield f"**Order:** {order}, then traffic of all switches together."
    if plan.risk:
        reasons = [f"+{reason.points} {code(reason.text)}" for reason in plan.risk.reasons]
        yield _bullets(f"Risk: {risk_text(plan.risk)}", reasons) or f"**Risk:** {risk_text(plan.risk)}"
    if plan.traffic_changes:
        yield f"**Way back:** {_way_back(plan)}"


def _headline(plan: Plan) -> str:
    if not plan.traffic_changes and not plan.database_changes:
        return "nothing to do, everything is up to date"
    return f"{len(plan.rollouts)} of {counted(len(plan.services), 'service')} would be deployed"


def _bullets(title: str, items: Iterator[str] | list[str]) -> str:
    listed = list(items)
    more = [f"and {len(listed) - MAX_ROWS} more"] if len(listed) > MAX_ROWS else []
    return "\n".join((f"**{title}**\n", *(f"- {item}" for item in (*listed[:MAX_ROWS], *more)))) if listed else ""


def _notes(plan: Plan) -> list[str]:
    return [
        f"{plain(part.name)}: {code(note)}"
        for part in plan.services
        for note in filter(None, (strategy_text(part), *part.notes, str(part.attestation or "")))
    ]


def _gate_text(plan: Plan, number: int) -> str:
    gate = plan.gates[number]
    if gate.skipped is not None:
        return f"{plain(gate.key)} is **skipped**: {code(gate.skipped)}"
    if gate.threshold and gate.threshold.skipped is not None:
        return f"{plain(gate.key)}; its coverage is **skipped**: {code(gate.threshold.skipped)}"
    return plain(gate.key)


def _database_texts(part: ServicePlan) -> Iterator[str]:
    """Yield what the deployment would do to the service's database, with what would break the running version."""
    for step in database_steps(part, code, code):
        yield f"{plain(part.name)}: {step}"
    for risk, is_blocked in breaking_changes(part):
        yield f"{plain(part.name)}: **breaking{' (blocked)' if is_blocked else ''}:** {code(risk)}"


def _way_back(plan: Plan) -> str:
    """Return how to get back to what is live now."""
    command = way_back_command(plan)
    return code(command) if command else "nothing is live yet. If a candidate is not healthy, nothing goes live."
