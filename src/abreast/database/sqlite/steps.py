"""One step of a migration in SQLite: all of it and its note in one transaction, or statement by statement."""

import sqlite3
import threading
from collections.abc import Iterator

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Migration, Step
from abreast.database.engine import Note
from abreast.database.notes import Notes
from abreast.database.sqlite.file import busy


def whole(db: sqlite3.Connection, notes: Notes, migration: Migration, step: Step, note: Note, limit: float) -> None:
    """Run a step in the transaction that is open."""
    for line, statement in _statements(step):
        _execute(db, statement, f"{migration.name}:{line}", limit)
    note(notes, migration)


def one_by_one(
    db: sqlite3.Connection, notes: Notes, migration: Migration, step: Step, note: Note, limit: float
) -> None:
    """Run a step without a transaction, noting how far it got."""
    notes.begin(migration)
    for number, (line, statement) in enumerate(_statements(step)):
        _execute(db, statement, f"{migration.name}:{line}", limit)
        notes.done(number + 1)
    db.execute("BEGIN IMMEDIATE")
    note(notes, migration)
    notes.ended()
    db.execute("COMMIT")


def _statements(step: Step) -> Iterator[tuple[int, str]]:
    """Yield each statement of a step with the line at which it begins in the file."""
    held, line, first = "", step.line, step.line
    for text in step.text.splitlines(keepends=True):
        if not held.strip():
            held, first = "", line
        rest = text
        while ";" in rest:
            upto, _, rest = rest.partition(";")
            held += f"{upto};"
            if sqlite3.complete_statement(held):
                yield first, held.strip()
                held, first = "", line
        held += rest
        line += 1
    if _without_comments(held):
        yield first, held.strip()


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--"))


def _execute(db: sqlite3.Connection, statement: str, where: str, limit: float) -> None:
    timer = threading.Timer(limit, db.interrupt)
    timer.start()
    try:
        db.execute(statement)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise DatabaseError(
                f"{where}: no end after {limit:g} s; it was rolled back", need="a shorter one, or a longer limit"
            ) from error
        if busy(error):
            raise
        raise DatabaseError(f"{where}: {error}", need="a statement that the data allows") from error
    finally:
        timer.cancel()
