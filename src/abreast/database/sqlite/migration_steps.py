"""Runs a migration step on SQLite: in one transaction with its record, or statement by statement."""

import sqlite3
import threading
from collections.abc import Iterator

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import Migration, MigrationStep
from abreast.database.metadata_tables import MetadataTables
from abreast.database.sql_database import MigrationRecorder
from abreast.database.sqlite.database_file import is_lock_error


def run_in_transaction(
    db: sqlite3.Connection,
    metadata: MetadataTables,
    migration: Migration,
    step: MigrationStep,
    record: MigrationRecorder,
    timeout: float,
) -> None:
    """Run and record a step in the open transaction."""
    for line, statement in _split_statements(step):
        _execute(db, statement, f"{migration.name}:{line}", timeout)
    record(metadata, migration)


def run_statement_by_statement(
    db: sqlite3.Connection,
    metadata: MetadataTables,
    migration: Migration,
    step: MigrationStep,
    record: MigrationRecorder,
    timeout: float,
) -> None:
    """Run a step without a transaction and record the progress."""
    metadata.record_start(migration)
    for number, (line, statement) in enumerate(_split_statements(step)):
        _execute(db, statement, f"{migration.name}:{line}", timeout)
        metadata.record_progress(number + 1)
    db.execute("BEGIN IMMEDIATE")
    record(metadata, migration)
    metadata.record_end()
    db.execute("COMMIT")


def _split_statements(step: MigrationStep) -> Iterator[tuple[int, str]]:
    """Yield (line in the file, statement) for each statement of a step."""
    statement, line, first_line = "", step.line, step.line
    for text in step.sql.splitlines(keepends=True):
        if not statement.strip():
            statement, first_line = "", line
        rest = text
        while ";" in rest:
            upto, _, rest = rest.partition(";")
            statement += f"{upto};"
            if sqlite3.complete_statement(statement):
                yield first_line, statement.strip()
                statement, first_line = "", line
        statement += rest
        line += 1
    if _without_comments(statement):
        yield first_line, statement.strip()


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--"))


def _execute(db: sqlite3.Connection, statement: str, location: str, timeout: float) -> None:
    timer = threading.Timer(timeout, db.interrupt)
    timer.start()
    try:
        db.execute(statement)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise DatabaseError(
                f"{location}: timed out after {timeout:g} s; the statement was rolled back",
                need="a faster statement, or a longer timeout",
            ) from error
        if is_lock_error(error):
            raise
        raise DatabaseError(f"{location}: {error}", need="a statement that fits the data") from error
    finally:
        timer.cancel()
