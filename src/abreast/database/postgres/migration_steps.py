"""Runs a migration step on PostgreSQL: in one transaction with its record, or statement by statement."""

from typing import TYPE_CHECKING, Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import Migration, MigrationStep
from abreast.core.schema.sql_checks import split_statements
from abreast.database.metadata_tables import MetadataTables
from abreast.database.postgres.client import encode_sql
from abreast.database.sql_database import MigrationRecorder

if TYPE_CHECKING:
    from psycopg import Connection

LOCK_SQLSTATES = frozenset({"55P03", "40P01"})
"""SQLSTATEs lock_not_available and deadlock_detected (PostgreSQL, Appendix A)."""
_HELD_LOCKS_SQL = (
    "SELECT c.relname, replace(l.mode, 'Lock', '') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'"
    " AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock') ORDER BY 1, 2"
)


def run_in_transaction(
    db: "Connection[Any]",
    metadata: MetadataTables,
    migration: Migration,
    step: MigrationStep,
    record: MigrationRecorder,
) -> tuple[str, ...]:
    """Run and record a step in one transaction; return the locks held at its end."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415

    with db.transaction():
        _execute(db, step.sql, migration.name, step.line)
        if db.info.transaction_status is not TransactionStatus.INTRANS:
            raise DatabaseError(
                f"{migration.name} ends its own transaction", need="a file without COMMIT, or with -- no-transaction"
            )
        locks = db.execute(_HELD_LOCKS_SQL).fetchall()
        record(metadata, migration)
    return tuple(f"{mode} on {table}" for table, mode in locks)


def run_statement_by_statement(
    db: "Connection[Any]",
    metadata: MetadataTables,
    migration: Migration,
    step: MigrationStep,
    record: MigrationRecorder,
) -> tuple[str, ...]:
    """Run each statement on its own and record the progress."""
    metadata.record_start(migration)
    for number, (line, text) in enumerate(split_statements(step, "postgresql")):
        _execute(db, text, migration.name, line)
        metadata.record_progress(number + 1)
    with db.transaction():
        record(metadata, migration)
        metadata.record_end()
    return ()


def _execute(db: "Connection[Any]", text: str, file: str, line: int) -> None:
    """Run SQL; raises DatabaseError with the line that failed."""
    import psycopg  # noqa: PLC0415

    try:
        db.execute(encode_sql(text))
    except psycopg.Error as error:
        offset = int(error.diag.statement_position or 1) - 1
        failed_line = line + text.count("\n", 0, offset)
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        raise DatabaseError(
            f"{file}:{failed_line}: {error.diag.message_primary or str(error).strip()}{detail}",
            need="a statement that fits the data, within its timeouts",
        ) from error
