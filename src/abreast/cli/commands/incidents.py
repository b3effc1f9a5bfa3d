"""``abreast incident``: what went wrong, made from the record; and what people add to it."""

import json
import sys

from abreast.cli.confirmation import required_reason
from abreast.cli.incident_files import IncidentReports
from abreast.cli.published import require_published
from abreast.cli.redaction import redact_only
from abreast.cli.selection import choose_deployment, locate_workspace, read_record, require_known_environment
from abreast.cli.terminal_text import visible
from abreast.cli.views.incidents import incident_lines, summary_json
from abreast.core.errors import UsageError
from abreast.core.incidents.model import Incident, IncidentAct, IncidentStatus
from abreast.deploy.runtime.incidents import MAX_INCIDENTS, read_incident, read_incidents, record_incident_act
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Workspace


def incident(
    deployment: str | None, environment: str | None, note: str | None, reason: str,
    *, close: bool, reopen: bool, as_json: bool,
) -> int:  # fmt: skip
    """List incidents, print the report of one, or add to it."""
    if note is not None and not note.strip():
        raise UsageError("the note is empty, so nothing was added", need="--note TEXT, with what happened")
    if reason and not (close or reopen):
        raise UsageError("a reason alone adds nothing", need="--close or --reopen with it, or --note TEXT")
    acts = [
        *([(IncidentAct.NOTE, note)] if note else []),
        *([(IncidentAct.CLOSE, reason)] if close else []),
        *([(IncidentAct.REOPEN, reason)] if reopen else []),
    ]
    if len(acts) > 1:
        raise UsageError("only one thing is added at a time", need="--note, --close or --reopen")
    workspace = locate_workspace()
    with workspace.open_ledger() if acts else read_record(workspace) as ledger:
        require_known_environment(workspace, ledger, environment)
        reports = IncidentReports(workspace, ledger)
        if deployment is None and not acts:
            return _list(reports, list(read_incidents(ledger, environment)), environment, as_json=as_json)
        chosen = _choose(ledger, deployment, environment)
        for act, text in acts:
            chosen = _add(workspace, ledger, chosen, act, text, on_stderr=as_json)
        _write_files(reports, chosen.environment)
        report = reports.make(chosen)
    if as_json:
        print(report.json)
    elif acts:
        print(visible(f"{report.incident.title}: {report.incident.status}, {report.incident.severity}"))
    else:
        print(visible(report.markdown))
    return 0


def _list(reports: IncidentReports, found: list[Incident], environment: str | None, *, as_json: bool) -> int:
    _write_files(reports, environment)
    if as_json:
        print(json.dumps(list(map(summary_json, found)), indent=2))
    else:
        print(visible("\n".join(incident_lines(found))) if found else "there was no incident")
    return 0


def _choose(ledger: SqliteLedger, requested: str | None, environment: str | None) -> Incident:
    """Return the incident of a deployment, else the latest. Raises UsageError if there is none."""
    if requested is None:
        latest = next(read_incidents(ledger, environment), None)
        if latest is None:
            raise UsageError("there was no incident", next="abreast history")
        return latest
    deployment = choose_deployment(ledger, requested, environment)
    if found := read_incident(ledger, deployment):
        return found
    raise UsageError(
        f"deployment {deployment.id} has no incident: it is {deployment.state}",
        need="one that was turned back after its gates and builds, or a rollback",
        next="abreast incident",
    )


def _add(
    workspace: Workspace, ledger: SqliteLedger, chosen: Incident, act: IncidentAct, text: str, *, on_stderr: bool
) -> Incident:
    """Record what a person adds, and return the incident as it is then.

    Raises UsageError if it is that already, RefusedError if others cannot read it.
    """
    is_closed = chosen.status is IncidentStatus.CLOSED
    if (act is IncidentAct.CLOSE and is_closed) or (act is IncidentAct.REOPEN and chosen.status is IncidentStatus.OPEN):
        raise UsageError(f"incident {chosen.id} is {chosen.status} already", next=f"abreast incident {chosen.id}")
    said = text if act is IncidentAct.NOTE else required_reason(text, on_stderr=on_stderr)
    record_incident_act(ledger, chosen.id, act, redact_only(said), workspace.operator)
    require_published(ledger)
    changed = read_incident(ledger, ledger.deployment(chosen.id))
    assert changed
    return changed


def _write_files(reports: IncidentReports, environment: str | None) -> None:
    if fault := reports.write(environment, MAX_INCIDENTS):
        print(visible(f"the reports are not written: {fault}"), file=sys.stderr)
