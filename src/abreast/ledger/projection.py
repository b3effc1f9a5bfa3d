"""What the entries of a ledger come to: deployments and their states, what is live, and the ages of secrets."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import zip_longest

from abreast.core.errors import StateError
from abreast.core.model import Chapter
from abreast.core.states import DeploymentState, transition
from abreast.ledger.entries import Entry, EntryKind, describe
from abreast.ledger.tables import PROJECTION


def project(db: sqlite3.Connection, entry: Entry) -> None:
    """Change the tables by one entry. Raises StateError for a state that a deployment cannot come to."""
    if change := _CHANGES.get(entry.kind):
        change(db, entry)


def _add_deployment(db: sqlite3.Connection, entry: Entry) -> None:
    plan = entry.data
    row = (
        entry.subject, plan["project"], plan["environment"], plan["kind"], plan["release"], plan["commit"],
        DeploymentState.WAITING, Chapter.PLAN, entry.at, None, plan["author"], plan["reason"],
    )  # fmt: skip
    db.execute(f"INSERT INTO deployments VALUES ({', '.join('?' * len(row))})", row)


def _advance_deployment(db: sqlite3.Connection, entry: Entry) -> None:
    chapter, state = entry.data["chapter"], entry.data["state"]
    if chapter:
        db.execute("UPDATE deployments SET chapter = ? WHERE id = ?", (chapter, entry.subject))
    if state:
        (current,) = db.execute("SELECT state FROM deployments WHERE id = ?", (entry.subject,)).fetchone()
        reached = transition(DeploymentState(current), DeploymentState(state))
        finished = entry.at if reached.is_final or reached is DeploymentState.STUCK else None
        db.execute("UPDATE deployments SET state = ?, finished = ? WHERE id = ?", (reached, finished, entry.subject))
    if lock := entry.data.get("data", {}).get("lock"):
        query = "SELECT environment FROM deployments WHERE id = ?"
        ((environment,),) = db.execute(query, (entry.subject,)).fetchall()
        _set_lock(db, environment, lock)


def _change_live(db: sqlite3.Connection, entry: Entry) -> None:
    for service, live in entry.data.items():
        if live is None:
            db.execute("DELETE FROM live WHERE environment = ? AND service = ?", (entry.subject, service))
        else:
            db.execute(
                "INSERT OR REPLACE INTO live VALUES (?, ?, ?)",
                (entry.subject, service, json.dumps(live, sort_keys=True)),
            )


def _change_secrets(db: sqlite3.Connection, entry: Entry) -> None:
    for name, fingerprint in entry.data.items():
        row = (entry.subject, name, fingerprint, entry.at)
        db.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?)", row)


def _change_lease(db: sqlite3.Connection, entry: Entry) -> None:
    holder = entry.data["holder"]
    row = (entry.subject, int(entry.key), holder and json.dumps(holder, sort_keys=True))
    db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", row)


def _change_lock(db: sqlite3.Connection, entry: Entry) -> None:
    _set_lock(db, entry.subject, entry.data["lock"])


def _set_lock(db: sqlite3.Connection, environment: str, lock: Mapping[str, str] | None) -> None:
    db.execute("DELETE FROM operator_locks WHERE environment = ?", (environment,))
    if lock:
        db.execute("INSERT INTO operator_locks VALUES (?, ?)", (environment, json.dumps(lock, sort_keys=True)))


_CHANGES: Mapping[EntryKind, Callable[[sqlite3.Connection, Entry], None]] = {
    EntryKind.PLAN: _add_deployment,
    EntryKind.EVENT: _advance_deployment,
    EntryKind.LIVE: _change_live,
    EntryKind.SECRETS: _change_secrets,
    EntryKind.LEASE: _change_lease,
    EntryKind.LOCK: _change_lock,
}


_ROWS = {
    "deployments": ("SELECT id, * FROM deployments ORDER BY 1, 2, 3", "deployment {}"),
    "live": ("SELECT environment || '/' || service, * FROM live ORDER BY 1, 2, 3", "what is live of {}"),
    "secrets": ("SELECT environment || '/' || name, * FROM secrets ORDER BY 1, 2, 3", "the age of the secret {}"),
    "leases": ("SELECT environment, * FROM leases ORDER BY 1, 2, 3", "the lease of {}"),
    "operator_locks": ("SELECT environment, * FROM operator_locks ORDER BY 1, 2, 3", "the operator's lock of {}"),
}
"""For each table: its rows, the name of each first and in the order of names; and what to call a row."""


_WHAT_COUNTS = """
    SELECT entry FROM entries WHERE kind IN (SELECT value FROM json_each(?)) AND (
        kind <> 'event' OR json_extract(entry, '$.data.state') IS NOT NULL OR id IN (
            SELECT max(id) FROM entries WHERE kind = 'event' AND json_extract(entry, '$.data.chapter') IS NOT NULL
            GROUP BY subject
        )
    ) ORDER BY id
"""
"""The entries that the tables follow from: of the chapters of a deployment, the last one tells where it is."""


def rebuild(db: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Make the tables again from all entries."""
    for table in _ROWS:
        db.execute(f"DELETE FROM {table}")
    for entry in entries:
        project(db, entry)


def find_changed_row(db: sqlite3.Connection) -> str:
    """Return the first row that is not what the entries come to, "" if there is none."""
    with closing(sqlite3.connect("")) as expected:  # a file that SQLite makes where there is too much for its cache
        for statement in PROJECTION:
            expected.execute(statement)
        for (text,) in db.execute(_WHAT_COUNTS, (json.dumps(list(_CHANGES)),)):
            try:
                project(expected, Entry.parse(text))
            except (StateError, ValueError, KeyError, TypeError, sqlite3.Error):
                return f"what follows from an entry cannot be ({describe(text)})"
        for rows, title in _ROWS.values():
            for pair in zip_longest(db.execute(rows), expected.execute(rows)):
                if pair[0] != pair[1]:
                    return f"{title.format(min(str(row[0]) for row in pair if row))} was changed in the ledger"
    return ""
