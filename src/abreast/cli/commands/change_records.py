"""``abreast audit change``: the record of one change, made from the ledger."""

import json
from contextlib import suppress

from abreast.cli.redaction import redact_value
from abreast.cli.selection import choose_deployment, locate_workspace, read_record, require_known_environment
from abreast.cli.terminal_text import visible
from abreast.cli.views.change_record import change_json, change_markdown
from abreast.core.codec import dump, load
from abreast.core.commits import Commit
from abreast.core.errors import UsageError
from abreast.core.incidents.lifecycle import PRODUCTION
from abreast.deploy.runtime.incidents import read_incident
from abreast.ledger.acts import read_acts
from abreast.ledger.change_record import ChangeRecord, make_change_record
from abreast.ledger.change_report import CHANGE_KINDS, make_report
from abreast.ledger.interface import Deployment, ReleasePart
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.repository import project_repository

MAX_COMMITS = 200
MAX_DEPLOYMENTS = 1000
"""How many deployments back the latest change is looked for."""


def change(deployment: str | None, environment: str | None, *, as_json: bool) -> int:
    """Print the record of a change: by default the latest of production, or of the environment."""
    workspace = locate_workspace()
    with read_record(workspace) as ledger:
        require_known_environment(workspace, ledger, environment)
        chosen = _choose(ledger, deployment, environment)
        record = _read(ledger, chosen)
        incident = read_incident(ledger, chosen)
        before = {part.previous.commit for part in ledger.stored_plan(chosen.id).rollouts if part.previous}
    commits = project_repository(workspace.root).commits(before, chosen.commit, MAX_COMMITS).certain
    shown = load(ChangeRecord, redact_value(dump(record)))
    said = load(tuple[Commit, ...], redact_value(dump(commits, tuple[Commit, ...])))
    if as_json:
        print(json.dumps(change_json(shown, said, incident), indent=2))
    else:
        print(visible(change_markdown(shown, said, incident)))
    return 0


def _choose(ledger: SqliteLedger, requested: str | None, environment: str | None) -> Deployment:
    """Return the deployment asked for, else the latest change. Raises UsageError if there is none."""
    if requested is not None:
        return choose_deployment(ledger, requested, environment)
    where = environment or PRODUCTION
    for deployment in ledger.deployments(where, MAX_DEPLOYMENTS):
        if deployment.kind.value in CHANGE_KINDS:
            return deployment
    raise UsageError(
        f"nothing was changed in {where} yet",
        need="a deployment, or --env with another environment",
        next="abreast history",
    )


def _read(ledger: SqliteLedger, deployment: Deployment) -> ChangeRecord:
    report = make_report(read_acts(ledger.file.links()), lambda act: act.deployment == deployment.id)
    if not report.changes:
        what = f"deployment {deployment.id} is no change: it is a {deployment.kind}"
        raise UsageError(what, need=f"one of: {', '.join(sorted(CHANGE_KINDS))}", next="abreast history")
    parts = dict[str, ReleasePart]()
    with suppress(UsageError):  # a database was changed before there was any release
        parts = dict(ledger.release(deployment.release).parts)
    plan, events = ledger.stored_plan(deployment.id), ledger.events(deployment.id)
    return make_change_record(report.changes[0], deployment, plan, events, parts)
