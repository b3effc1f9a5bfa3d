"""One step of a migration in PostgreSQL: all of it and its note in one transaction, or statement by statement."""

from typing import TYPE_CHECKING, Any

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Migration, Step
from abreast.core.statements import split
from abreast.database.engine import Note
from abreast.database.notes import Notes
from abreast.database.postgres.server import sql

if TYPE_CHECKING:
    from psycopg import Connection

LOCKED = frozenset({"55P03", "40P01"})
"""Lock not available, deadlock (PostgreSQL, Appendix A)."""
_LOCKS = (
    "SELECT c.relname, replace(l.mode, 'Lock', '') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'"
    " AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock') ORDER BY 1, 2"
)


def whole(db: "Connection[Any]", notes: Notes, migration: Migration, step: Step, note: Note) -> tuple[str, ...]:
    """Run all in one transaction; returns the locks that it held in the end."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415

    with db.transaction():
        _execute(db, step.text, migration.name, step.line)
        if db.info.transaction_status is not TransactionStatus.INTRANS:
            raise DatabaseError(
                f"{migration.name} ends its transaction itself", need="no COMMIT in it, or -- no-transaction"
            )
        locks = db.execute(_LOCKS).fetchall()
        note(notes, migration)
    return tuple(f"{mode} on {table}" for table, mode in locks)


def one_by_one(db: "Connection[Any]", notes: Notes, migration: Migration, step: Step, note: Note) -> tuple[str, ...]:
    """Run each statement by itself, noting how far it got."""
    notes.begin(migration)
    for number, (line, text) in enumerate(split(step, "postgresql")):
        _execute(db, text, migration.name, line)
        notes.done(number + 1)
    with db.transaction():
        note(notes, migration)
        notes.ended()
    return ()


def _execute(db: "Connection[Any]", text: str, file: str, line: int) -> None:
    """Run SQL; raises DatabaseError with the line that it stopped at."""
    import psycopg  # noqa: PLC0415

    try:
        db.execute(sql(text))
    except psycopg.Error as error:
        where = int(error.diag.statement_position or 1) - 1
        at = line + text.count("\n", 0, where)
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        raise DatabaseError(
            f"{file}:{at}: {error.diag.message_primary or str(error).strip()}{detail}",
            need="a statement that the data allows, within its limits",
        ) from error
