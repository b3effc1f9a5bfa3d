"""The record of one change, in Markdown and JSON. What is given here is redacted."""

from collections.abc import Iterator, Sequence
from typing import Any

from abreast.cli.views.audit_trail import act_json
from abreast.cli.views.markdown import code, join_blocks, link, plain, table
from abreast.cli.views.plan import risk_json, risk_text
from abreast.core.codec import dump
from abreast.core.commits import Commit
from abreast.core.incidents.communication import moment_text
from abreast.core.incidents.model import Incident
from abreast.ledger.acts import DONE
from abreast.ledger.change_record import ChangeRecord, Validation

MAX_BYTES = 250_000


def change_json(record: ChangeRecord, commits: Sequence[Commit], incident: Incident | None) -> dict[str, Any]:
    """Return the record as JSON values."""
    document: dict[str, Any] = dump(record)
    return {
        **document,
        "risk": risk_json(record.risk),
        "begun": act_json(record.begun),
        "approvals": [act_json(act) for act in record.approvals],
        "skipped": [act_json(act) for act in record.skipped],
        "commits": [dump(commit) for commit in commits],
        "incident": {"severity": incident.severity, "status": incident.status} if incident else None,
    }


def change_markdown(record: ChangeRecord, commits: Sequence[Commit], incident: Incident | None) -> str:
    """Return the record as a document."""
    return join_blocks(_blocks(record, commits, incident), MAX_BYTES)


def _blocks(record: ChangeRecord, commits: Sequence[Commit], incident: Incident | None) -> Iterator[str]:
    yield f"# Change record: {plain(f'{record.kind} of {record.release} in {record.environment}')}"
    yield table(("", ""), _facts(record, incident))
    yield "## Risk"
    reasons = [f"- +{reason.points} {code(reason.text)}" for reason in record.risk.reasons] if record.risk else []
    yield "\n".join(reasons) or "No fact counted." if record.risk else "Not assessed."
    yield "## What changed"
    heads = ("service", "action", "why", "from", "commit", "artifact", "migrations")
    yield table(heads, (
        (plain(part.name), part.action, code(part.why), plain(part.before or "nothing"), code(part.commit[:12]),
         code(part.image or part.artifact), ", ".join(map(code, part.migrations)))
        for part in record.services
    ))  # fmt: skip
    yield "\n".join(f"- {code(commit.id[:12])} {code(commit.subject)}, {code(commit.author)}" for commit in commits)
    yield "## Validation"
    yield (
        table(("what", "outcome", "detail", "seconds"), map(_validation_row, record.validation))
        if (record.validation)
        else "Nothing was recorded."
    )
    yield "\n".join(
        f"- {code(act.detail)} was **skipped** by {code(str(act.who))}: {code(act.why)}" for act in record.skipped
    )
    yield "## Way back"
    yield "\n".join(f"- {code(text)}" for text in record.way_back) or "Nothing changed that could be undone."


def _facts(record: ChangeRecord, incident: Incident | None) -> Iterator[tuple[str, str]]:
    who = record.begun.who
    evidence = link(who.evidence, who.url) if who.url else who.evidence
    yield "change", code(record.id)
    yield "project", plain(record.project)
    yield "environment", plain(record.environment)
    yield "release", f"{plain(record.release)}, commit {code(record.commit[:12])}"
    yield "risk, as known before", risk_text(record.risk) if record.risk else "not assessed"
    yield "approval", _approval(record)
    yield "deployed by", f"{code(str(who))} ({evidence})"
    if who.token:
        yield "signed by the CI system", f"{code(who.token.subject)}, by {code(who.token.issuer)}"
    yield "reason", code(record.reason) or "none given"
    yield "outcome", f"**{record.outcome}** {code(record.outcome_detail)}".rstrip()
    yield "began", moment_text(record.started)
    yield "ended", moment_text(record.finished) if record.finished else "not yet"
    if record.run_url:
        yield "run", link("the run", record.run_url)
    if record.emergency:
        yield "emergency change", code(record.emergency)
    if incident:
        yield "incident", f"{incident.severity}, {incident.status}: {code(f'abreast incident {incident.id}')}"


def _approval(record: ChangeRecord) -> str:
    given = ", ".join(code(str(act.who)) for act in record.approvals if act.outcome == DONE)
    if record.approval_rule:
        return f"{given or 'nobody yet'} ({plain(record.approval_rule)})"
    return given or "none was asked for"


def _validation_row(found: Validation) -> tuple[str, str, str, str]:
    seconds = f"{found.seconds:.1f}" if found.seconds is not None else ""
    return plain(found.what), plain(found.outcome), code(found.detail), seconds
