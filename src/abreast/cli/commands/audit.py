"""``abreast audit``: whether the audit trail is intact, and what it says."""

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.cli.record_check import RecordCheck, check_record, read_trust_anchors
from abreast.cli.selection import locate_workspace, read_record, require_known_environment
from abreast.cli.terminal_text import visible
from abreast.cli.views.audit_trail import csv_lines, json_lines, jsonl_lines, report_json, report_lines
from abreast.core.errors import StateError, UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.ledger.acts import Act, read_acts
from abreast.ledger.change_report import ChangeReport, make_report
from abreast.machine.lazy_modules import lazy_module
from abreast.wiring.audit_key import checkpoint_signer
from abreast.wiring.workspace import Workspace

if TYPE_CHECKING:
    from abreast.cli import known_runs, run_claims
    from abreast.cli.run_claims import KnowsRuns
else:
    known_runs = lazy_module("abreast.cli.known_runs")
    run_claims = lazy_module("abreast.cli.run_claims")


def verify(checkpoints: tuple[Path, ...], *, github: bool, gitlab: bool, as_json: bool) -> int:
    """Check every entry, every table that follows, and what was signed. Exit 1 if one is wrong.

    With ``github`` and ``gitlab``, also whether runs there were started by whom they claimed.
    """
    workspace = locate_workspace()
    check = check_record(workspace, read_trust_anchors(checkpoints))
    for name, is_asked in (("github", github), ("gitlab", gitlab)):
        if is_asked and not check.damage:
            check = _with_claims(workspace, check, known_runs.CI_SYSTEMS[name](workspace.variables))
    if as_json:
        document = {
            "intact": not check.damage, "damage": check.damage, "entries": check.entries,
            "checked": list(check.lines), "signed": asdict(check.coverage) if check.coverage.seq else None,
        }  # fmt: skip
        print(json.dumps(document, indent=2))
    else:
        print(visible("\n".join([check.damage] if check.damage else check.lines)))
    return 1 if check.damage else 0


def _with_claims(workspace: Workspace, check: RecordCheck, ci: "KnowsRuns") -> RecordCheck:
    """Return the check with what a CI system says of its runs."""
    with read_record(workspace) as ledger:
        faults, lines = run_claims.check_claims(ci, ledger.file.links())
    return replace(check, damage="\n".join(faults), lines=(*check.lines, *lines))


@dataclass(frozen=True, slots=True)
class ActFilter:
    """Which acts are asked for: ``since`` and ``until`` are ISO 8601 in UTC, "" for no limit."""

    since: str
    until: str
    environment: str | None
    by: str | None

    def __call__(self, act: Act) -> bool:
        """Return whether an act is asked for."""
        who = act.who
        return (
            self.since <= act.at
            and (not self.until or act.at < self.until)
            and self.environment in {None, act.environment}
            and (self.by is None or self.by in {who.name, who.id, who.login, who.agent})
        )

    def __str__(self) -> str:
        parts = [
            f"From {self.since}" if self.since else "From the beginning",
            f"before {self.until}" if self.until else "to the end",
            f"of {self.environment}" if self.environment else "of all environments",
            f"by {self.by}" if self.by else "",
        ]
        return " ".join(filter(None, parts))


def export(
    since: str | None, until: str | None, environment: str | None, by: str | None, checkpoint: Path | None,
    *, as_csv: bool, report: bool, as_json: bool,
) -> int:  # fmt: skip
    """Print the acts that are asked for, or a report on them."""
    if as_csv and (as_json or report):
        raise UsageError("--csv is of the acts alone", need="--csv, or --json, or --report")
    wanted = ActFilter(_moment(since, timedelta(0)), _moment(until, timedelta(days=1)), environment, by)
    workspace = locate_workspace()
    code, made = 0, None
    with read_record(workspace) as ledger:
        require_known_environment(workspace, ledger, environment)
        end = ledger.file.last_link()
        note = _sign(workspace, end.seq, end.hash) if checkpoint and end else ""
        acts = read_acts(ledger.file.links(until=end.seq if end else 0))
        if report:
            made = make_report(acts, wanted)
        else:
            _print((csv_lines if as_csv else json_lines if as_json else jsonl_lines)(filter(wanted, acts)))
    if made:
        code = _print_report(workspace, made, wanted, as_json=as_json)
    if checkpoint:
        _write_checkpoint(workspace, checkpoint, note)
    return code


def _print_report(workspace: Workspace, report: ChangeReport, wanted: ActFilter, *, as_json: bool) -> int:
    """Print the report on the acts that are wanted. Returns 1 if the record is not intact, which the report says."""
    check = check_record(workspace)
    integrity = [f"DAMAGED: {check.damage}"] if check.damage else check.lines
    if as_json:
        print(json.dumps({"period": str(wanted), **report_json(report, integrity)}, indent=2))
    else:
        _print(report_lines(report, integrity, str(wanted)))
    return 1 if check.damage else 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(visible(line))


def _moment(text: str | None, day: timedelta) -> str:
    """Return a time as the ledger writes it, "" for none; of a day, ``day`` later. Raises UsageError."""
    if text is None:
        return ""
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        moment += day if _is_day(text) else timedelta(0)
    except (ValueError, OverflowError) as error:  # the second is of a day beyond the year 9999
        raise UsageError(f"{text!r} is not a time", need="2026-11-21, or 2026-11-21T02:14:00Z") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_day(text: str) -> bool:
    with suppress(ValueError):
        return bool(date.fromisoformat(text))
    return False


def _sign(workspace: Workspace, seq: int, hash: str) -> str:
    signer = checkpoint_signer(workspace)
    if signer is None:
        raise StateError(
            "there is no key to sign a checkpoint with",
            need="ABREAST_AUDIT_KEY, since the record is kept for other machines too",
            next="openssl rand -base64 32",
        )
    return signer.sign(seq, hash, datetime.now(UTC))


def _write_checkpoint(workspace: Workspace, file: Path, note: str) -> None:
    if not note:
        raise StateError("nothing is recorded yet, so there is nothing to sign", next="abreast deploy")
    try:
        file.write_text(note, encoding="utf-8")
    except OSError as error:
        raise StateError(f"cannot write {file}: {error.strerror}") from error
    signer = checkpoint_signer(workspace)
    assert signer
    print(f"signed by {signer.key}", file=sys.stderr)
    print(f"next: keep it where others hold it, then: abreast audit verify --checkpoint {file}", file=sys.stderr)
