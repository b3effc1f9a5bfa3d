"""The audit trail as text: JSON lines, CSV, and the report for auditors."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import chain
from textwrap import indent
from typing import Any

from abreast.core.identity import Evidence, IdToken
from abreast.core.wording import counted
from abreast.ledger.acts import Act
from abreast.ledger.change_report import Change, ChangeReport

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""

COLUMNS = (
    "seq", "at", "what", "outcome", "environment", "deployment", "release", "commit", "authors", "risk", "why",
    "detail", "who", "who_kind", "who_id", "who_host", "who_url", "who_login", "agent", "evidence", "used_by", "hash",
    "token_issuer", "token_subject", "token_id", "token_repository_id", "token_owner_id", "token_actor",
    "token_actor_id", "token_run_id", "token_run_attempt", "token_job_id", "token_workflow", "token_environment",
    "token_ref", "token_commit",
)  # fmt: skip

MAPPING = (
    ("CC8.1: changes are tracked and documented", "a complete population of changes", "Changes"),
    ("CC8.1: changes are tested", "changes are tested", "Changes, column gates; Skipped gates"),
    ("CC8.1: changes are authorized and approved", "changes are approved", "Changes, column approved by"),
    ("CC8.1: changes are deployed", "only authorized people migrate changes", "Changes, column by"),
    ("CC8.1: emergency changes", "emergency changes are recorded and reviewed", "Emergency changes"),
    ("CC5.1, CC8.1: duties are segregated", "segregation of duties", "Separation of duties"),
)
"""What in the report is evidence of which control."""

VOUCHERS = {
    Evidence.ID_TOKEN: "the CI system, which signed who started the run",
    Evidence.KERNEL: "the kernel of the machine",
    Evidence.LINK: "a link that the project's key signed for a person",
    Evidence.ENVIRONMENT: "nobody: variables of a run of a CI system",
    Evidence.NOBODY: "nobody: a name",
}
"""Who vouches for an identity, by its evidence."""

LIMITATIONS = tuple(
    " ".join(text.split())
    for text in """
It shows changes that were made with abreast. What was changed at a platform's own console, in a database by hand or
with other tools is not in it, so it is no complete population of changes by itself.

An identity with the evidence *environment* is what the variables of the process claimed. Compare the run at its URL:
the CI system answers for who started it; `abreast audit verify` asks with `--github` or `--gitlab`. *Kernel* is a user
of the machine; its administrator can become any of them.

An identity with the evidence *id token* is what the CI system signed: this account started this run of this repository.
It does not prove that the account's owner wanted the act, nor that the workflow or the machine did only what its file
says. The token was verified by the process that wrote the entry and is not kept, so whoever can write the record can
write this, too; `audit verify` asks the CI system again. Which issuers count is for a reader to say: see the column
*token_issuer*.

Who wrote the code is what its commits claim, as far as that is recorded. Who reviewed it is not in it. Take both from
the pull request of the commit.

A gate that passed ran to its end and found nothing that blocks. Whether the tests test enough is not in it.

A reason is what a person typed. No ticket was looked up.

Listed as emergency changes are rollbacks, restores and changes without a gate or an approval. Whether they were
emergencies, and were reviewed afterwards, is for a person to say.

Whoever holds both the record and its signing key can write another record. A checkpoint that was exported before that,
and is kept elsewhere, shows it. What was done after the newest exported checkpoint can be cut off unseen.

Times are those of the machine that recorded the entry.
""".strip().split("\n\n")
)


def act_json(act: Act) -> dict[str, Any]:
    """Return an act as one flat JSON object."""
    who, token = act.who, act.who.token
    values = {
        **{f"token_{field.name}": getattr(token, field.name, "") for field in fields(IdToken)},
        **{name: getattr(act, name) for name in COLUMNS if hasattr(act, name) and name not in {"who", "used_by"}},
        "who": who.name, "who_kind": who.kind, "who_id": who.id, "who_host": who.host, "who_url": who.url,
        "who_login": who.login, "agent": who.agent, "authors": ", ".join(act.authors), "evidence": str(who.evidence),
        "used_by": f"{act.used_by} ({act.used_by.person})" if act.used_by else "",
    }  # fmt: skip
    return {name: values[name] for name in COLUMNS}


def jsonl_lines(acts: Iterable[Act]) -> Iterator[str]:
    """Yield each act as a line of JSON."""
    for act in acts:
        yield json.dumps(act_json(act))


def json_lines(acts: Iterable[Act]) -> Iterator[str]:
    """Yield the lines of one JSON document with all acts."""
    yield from ("{", '  "acts": [')
    texts = (indent(json.dumps(act_json(act), indent=2), "    ") for act in acts)
    before = next(texts, None)
    for text in texts:
        yield f"{before},"
        before = text
    yield from (*filter(None, [before]), "  ]", "}")


def csv_lines(acts: Iterable[Act]) -> Iterator[str]:
    """Yield a header and each act as a row (RFC 4180). A text that looks like a formula begins with an apostrophe."""
    for row in chain([COLUMNS], (act_json(act).values() for act in acts)):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(map(_harmless, row))
        yield text.getvalue()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def report_json(report: ChangeReport, integrity: Sequence[str]) -> dict[str, Any]:
    """Return the report as a JSON document."""
    return {
        "integrity": list(integrity),
        "changes": [_change_json(change) for change in report.changes],
        "evidence": {str(evidence): report.evidence[evidence] for evidence in Evidence},
        "refusals": [act_json(act) for act in report.refusals],
        "other_acts": [act_json(act) for act in report.others],
        "mapping": [dict(zip(("soc2", "sox", "evidence"), row, strict=True)) for row in MAPPING],
        "limitations": list(LIMITATIONS),
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        **act_json(change.begun),
        "outcome": change.outcome,
        "ended": change.end.at if change.end else None,
        "gates": [act_json(act) for act in change.gates],
        "skipped_gates": [act_json(act) for act in change.skipped],
        "approvals": [act_json(act) for act in change.approvals],
        "separated": change.is_separated,
        "emergency": change.emergency or None,
    }


def report_lines(report: ChangeReport, integrity: Sequence[str], period: str) -> Iterator[str]:
    """Yield the lines of the report in Markdown."""
    yield from ("# Change report", "", f"{period}. Numbers in the column *entry* are those of the ledger.", "")
    yield from ("## Integrity", "", *(f"- {_cell(line)}" for line in integrity), "")
    yield from _section(
        "Who vouches for identities", ("evidence", "acts", "by"),
        ((evidence, report.evidence[evidence], text) for evidence, text in VOUCHERS.items()),
    )  # fmt: skip
    yield from _section("Changes", _CHANGE_COLUMNS, map(_change_row, report.changes))
    yield from _separation(report)
    skipped = [(change, act) for change in report.changes for act in change.skipped]
    yield from _section(
        "Skipped gates", ("entry", "time", "change", "gate", "by", "why"),
        ((act.seq, act.at, change.begun.deployment, act.detail, act.who, act.why) for change, act in skipped),
    )  # fmt: skip
    yield from _section(
        "Emergency changes", ("entry", "time", "change", "where", "why it counts", "by", "reason"),
        (
            (act.seq, act.at, act.deployment, act.environment, change.emergency, act.who, act.why)
            for change in report.changes if change.emergency for act in (change.begun,)
        ),
    )  # fmt: skip
    yield from _section("Refused", _ACT_COLUMNS, map(_act_row, report.refusals))
    yield from _section("Other acts", _ACT_COLUMNS, map(_act_row, report.others))
    yield from _section("What is evidence of which control", ("SOC 2", "SOX", "evidence"), MAPPING)
    yield from ("## What this report does not prove", "", *(f"- {line}" for line in LIMITATIONS))


_CHANGE_COLUMNS = (
    "entry", "time", "where", "what", "release", "commit", "by", "evidence", "risk", "gates", "approved by",
    "outcome", "reason",
)  # fmt: skip
_ACT_COLUMNS = ("entry", "time", "where", "what", "outcome", "by", "evidence", "why", "detail")


def _change_row(change: Change) -> tuple[object, ...]:
    act = change.begun
    passed = sum(gate.outcome == "passed" for gate in change.gates)
    gates = f"{passed} of {len(change.gates)} passed" if change.gates else "none"
    approved = ", ".join(str(approval.who) for approval in change.approvals) or "nobody"
    return (
        act.seq, act.at, act.environment, act.what, act.release, act.commit[:12], act.who, _evidence(act), act.risk,
        gates, approved, change.outcome, act.why,
    )  # fmt: skip


def _act_row(act: Act) -> tuple[object, ...]:
    return act.seq, act.at, act.environment, act.what, act.outcome, act.who, _evidence(act), act.why, act.detail


def _evidence(act: Act) -> str:
    return f"{act.who.evidence}, {act.who.url}" if act.who.url else str(act.who.evidence)


def _separation(report: ChangeReport) -> Iterator[str]:
    live = report.live
    separated = sum(change.is_separated for change in live)
    untested = [change for change in live if not change.is_tested]
    yield from ("## Separation of duties", "")
    went = f"of {counted(len(live), 'change')} that went live"
    yield f"- {separated} {went}: approved by somebody who neither began it nor wrote its commits"
    yield f"- {len(untested)} {went}: without gates, or not all of them passed"
    for change in live:
        if not change.is_separated:
            yield f"- one person alone: entry {change.begun.seq}, {change.begun.deployment}, {_cell(change.begun.who)}"
    yield ""


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    found = list(rows)
    yield from (f"## {title}", "")
    if not found:
        yield from ("None.", "")
        return
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in found:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(value: object) -> str:
    """Return a value as text that neither ends a cell of a table nor begins markup."""
    text = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in "\\|<>[]*_`#" else letter for letter in text)
