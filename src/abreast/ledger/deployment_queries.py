"""What SQLite reads of deployments by itself: to make values of their plans would take longer."""

import json
from typing import Any

from abreast.core.errors import UsageError
from abreast.core.identity import Identity, unknown
from abreast.core.incidents.context import LaterSuccess, PersonRequest
from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.core.wording import counted
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import EntryFile
from abreast.ledger.interface import Deployment, PastRollout

COLUMNS = (
    "id, project, environment, kind, release, commit_id, state, chapter, started, finished, author, reason,"
    " coalesce((SELECT json_extract(entry, '$.data.run_url') FROM entries"
    " WHERE kind = 'plan' AND subject = deployments.id), '')"
)
"""The columns of a deployment."""


def deployment_from_row(row: tuple[Any, ...]) -> Deployment:
    """Return the deployment of a row of ``COLUMNS``."""
    id_, project, environment, kind, release, commit, state, chapter, *when_and_who = row
    return Deployment(
        id_, project, environment, DeploymentKind(kind), release, commit, DeploymentState(state), Chapter(chapter),
        *when_and_who,
    )  # fmt: skip


def find_deployment(file: EntryFile, id: str) -> Deployment:
    """Return a deployment by its id, or a unique prefix or suffix; raises UsageError that lists the latest ids."""
    text, size = id.upper(), len(id)
    condition = "? IN (id, substr(id, 1, ?), substr(id, -?))"
    query = f"SELECT {COLUMNS} FROM deployments WHERE {condition}"
    rows = file.query(query, text, size, size) if text else []
    if len(rows) == 1:
        return deployment_from_row(rows[0])
    latest = ", ".join(deployment.id for deployment in latest_deployments(file, None, 3)) or "none yet"
    problem = f"{id!r} matches {counted(len(rows), 'deployment')}" if rows else f"there is no deployment {id!r}"
    raise UsageError(problem, need=f"an id, or a unique prefix or suffix; the latest: {latest}", next="abreast history")


def latest_deployments(file: EntryFile, environment: str | None, limit: int) -> tuple[Deployment, ...]:
    """Return deployments, newest first."""
    rows = file.query(
        f"SELECT {COLUMNS} FROM deployments WHERE environment = coalesce(?, environment)"
        " ORDER BY rowid DESC LIMIT ?",  # the order of recording, whatever the clock said
        environment, limit,
    )  # fmt: skip
    return tuple(map(deployment_from_row, rows))


def past_rollouts(file: EntryFile, environment: str, limit: int) -> tuple[PastRollout, ...]:
    """Return what the latest ``limit`` deployments and rollbacks did to each service, newest first."""
    rows = file.query(
        "SELECT d.id, d.kind, d.state, d.chapter, d.release, json_extract(part.value, '$.service.name'),"
        " json_extract(part.value, '$.changed_files') FROM (SELECT rowid AS number, * FROM deployments"
        " WHERE environment = ? AND kind IN ('deploy', 'rollback') ORDER BY rowid DESC LIMIT ?) AS d"
        " JOIN entries ON entries.kind = 'plan' AND entries.subject = d.id,"
        " json_each(entries.entry, '$.data.services') AS part"
        " WHERE json_extract(part.value, '$.action') = 'deploy' ORDER BY d.number DESC",
        environment, limit,
    )  # fmt: skip
    return tuple(
        PastRollout(id_, DeploymentKind(kind), DeploymentState(state), Chapter(chapter), release, service,
                    frozenset(name for name, _ in json.loads(files)))
        for id_, kind, state, chapter, release, service, files in rows
    )  # fmt: skip


def incident_candidates(file: EntryFile, environment: str | None, limit: int) -> tuple[Deployment, ...]:
    """Return the deployments that may have an incident: turned back, rolled back, or told of; newest first."""
    rows = file.query(
        f"SELECT {COLUMNS} FROM deployments WHERE environment = coalesce(?, environment)"
        " AND (kind = 'rollback'"
        " OR kind = 'deploy' AND state IN ('turning-back', 'turned-back', 'cancelled', 'stuck')"
        " OR EXISTS (SELECT 1 FROM entries WHERE kind = 'event' AND subject = deployments.id"
        " AND key > 'incident/' AND key < 'incident0'))"  # "0" is the character after "/"
        " ORDER BY rowid DESC LIMIT ?",
        environment, limit,
    )  # fmt: skip
    return tuple(map(deployment_from_row, rows))


def successes(file: EntryFile, environment: str) -> tuple[LaterSuccess, ...]:
    """Return the deployments and rollbacks to an environment that succeeded, oldest first."""
    rows = file.query(
        "SELECT entries.id, json_extract(entry, '$.at'), deployments.id, release, author FROM deployments"
        " JOIN entries ON entries.kind = 'event' AND subject = deployments.id AND key = 'state/succeeded'"
        " WHERE environment = ? AND deployments.kind IN ('deploy', 'rollback') ORDER BY entries.id",
        environment,
    )
    return tuple(LaterSuccess(*row) for row in rows)


def requests(file: EntryFile, deployment: str) -> tuple[PersonRequest, ...]:
    """Return what people asked the process of a deployment for, oldest first."""
    found = file.entries(EntryKind.REQUEST, deployment)
    return tuple(
        PersonRequest(seq, entry.at, entry.key, entry.data["reason"], str(_identity(file, entry.by)))
        for seq, entry in found
    )


def initiator(file: EntryFile, deployment: str) -> Identity:
    """Return who began a deployment, as it was recorded."""
    ((_, entry),) = file.entries(EntryKind.PLAN, deployment)
    return _identity(file, entry.by)


def _identity(file: EntryFile, key: str) -> Identity:
    """Return who recorded an entry."""
    rows = file.query("SELECT entry FROM entries WHERE kind = 'identity' AND key = ?", key)
    return Identity.parse(Entry.parse(rows[0][0]).data) if rows else unknown()
