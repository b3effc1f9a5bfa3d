"""SQLite; dumps use the online backup API, so they are consistent while others write."""

import glob
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import Migration, MigrationStep
from abreast.core.schema.tables import Tables
from abreast.database.dump_process import run_program
from abreast.database.interface import Database, DatabaseCopy, DatabaseStats, MigrationLimits, Reporter
from abreast.database.metadata_tables import DEFAULT_MIGRATIONS_TABLE, Dialect, metadata_tables
from abreast.database.sql_database import MigrationRecorder, SqlDatabase
from abreast.database.sqlite import catalog, migration_steps
from abreast.database.sqlite.changes.change_stream import LITESTREAM_TABLES, LitestreamReplica
from abreast.database.sqlite.changes.recovery import recover
from abreast.database.sqlite.database_file import (
    FILE_SUFFIXES,
    is_lock_error,
    open_for_reading,
    open_for_writing,
    remove_files,
    sqlite_error,
    translate_errors,
)
from abreast.database.sqlite.integrity import find_damage
from abreast.database.sqlite.redirection import redirected_variables
from abreast.machine.file_lock import FileLock

URL_PREFIX = "sqlite:///"


class SqliteDatabase(SqlDatabase):
    """One database file; ``url`` is ``sqlite:///relative`` to ``folder``, or ``sqlite:////absolute``."""

    engine = "sqlite"
    dialect = Dialect("?", "INTEGER", "TEXT", "SELECT name FROM pragma_table_info(?)")

    def __init__(self, url: str, folder: Path, migrations_table: str = DEFAULT_MIGRATIONS_TABLE) -> None:
        super().__init__(migrations_table)
        file = folder / unquote(url.removeprefix(URL_PREFIX))
        self._file = file.resolve() if ".." in file.parts else file  # also once the folder is gone

    def connection_url(self) -> str:
        """Return the URL for applications."""
        return f"{URL_PREFIX}{self._file}"

    def is_inside(self, folder: Path) -> bool:
        """Whether the file is in a folder, however its URL and links lead there."""
        return self._file.resolve().is_relative_to(folder.resolve())

    def engine_version(self) -> str:
        """Return SQLite's version; raises DatabaseError if the file is not an SQLite database."""
        with self._connect() as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return sqlite3.sqlite_version

    def exists(self) -> bool:
        """Return whether the database exists."""
        return self._file.exists()

    def stats(self) -> DatabaseStats:
        """Return rows and size; empty if the database does not exist yet."""
        with self._connect() as db:
            db.execute("BEGIN")
            return catalog.read_stats(db)

    def estimate_row_counts(self) -> Mapping[str, int]:
        """Return the rows of each table, counted."""
        return self.stats().rows

    def tables(self) -> Tables:
        """Return the tables and views, except abreast's own."""
        with self._connect() as db:
            return catalog.read_tables(db, metadata_tables(self._migrations_table) | LITESTREAM_TABLES)

    # ── dump and restore ───────────────────────────────────────────────────────────────────────

    def dump(self, into: IO[bytes]) -> DatabaseStats:
        """Write a consistent dump while others write; return the rows and size at that moment."""
        answer = self._run_apsw_program("streaming_dump", self.wait_timeout, into=into)
        return DatabaseStats(**answer)

    def restore(self, dump: Path) -> Sequence[str]:
        """Restore a dump into this database, a copy without users; the dump is consumed. Everything comes back."""
        self.drop()
        with translate_errors(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(dump, self._file)
        return ()

    def check_integrity(self) -> DatabaseStats:
        """Check the database's integrity and return its rows and size; raises DatabaseError if it is damaged."""
        if problems := find_damage(self._connect):
            raise DatabaseError(f"{self._file} is damaged: {'; '.join(problems)}")
        return self.stats()

    def sibling_copy(self, name: str, *, swappable: bool = False) -> "SqliteDatabase":  # noqa: ARG002 (every copy is swappable)
        """Return the copy called ``name`` beside this file, which may not exist yet."""
        return SqliteDatabase(f"{URL_PREFIX}{self._sibling_path(name)}", Path("/"), self._migrations_table)

    def list_copies(self) -> list[DatabaseCopy]:
        """Return the copies beside the file."""
        prefix = self._sibling_path("").name
        found = sorted(self._file.parent.glob(f"{glob.escape(prefix)}*")) if self._file.parent.is_dir() else []
        named = ((file, DatabaseCopy.from_name(file.name.removeprefix(prefix), file.stat().st_size)) for file in found)
        return [copy for _, copy in named if copy]

    def drop_copy(self, copy: DatabaseCopy) -> None:
        """Delete a copy that ``list_copies`` returned."""
        remove_files(self._sibling_path(copy.name))

    def redirected_variables(self, variables: Mapping[str, str], copy: Database) -> Mapping[str, str]:
        """Return the variables that lead to this file, leading to ``copy`` instead."""
        assert isinstance(copy, SqliteDatabase)
        return redirected_variables(self._file, copy._file, variables)

    def variables_leading_here(self, variables: Mapping[str, str]) -> frozenset[str]:
        """Return the names of the variables that lead to this file."""
        return frozenset(redirected_variables(self._file, self._file, variables))

    def copy_from(self, other: Database) -> None:
        """Recreate this copy from another copy without users."""
        assert isinstance(other, SqliteDatabase)
        self.drop()
        with translate_errors(self._file):
            shutil.copyfile(other._file, self._file)

    def recreate(self) -> None:
        """Create this copy anew, empty."""
        self.drop()
        with translate_errors(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()

    def copy_properties(self, report: Reporter) -> None:
        """Do nothing: a file has its data only."""

    def drop(self) -> None:
        """Delete this copy, if it exists."""
        remove_files(self._file)

    def replace_with(self, copy: Database, archive_name: str, report: Reporter) -> str:  # noqa: ARG002 (the file is everything)
        """Replace this database with a copy under one lock, while applications have it open.

        The old content is kept beside it, even if the file is no longer a valid database.
        """
        assert isinstance(copy, SqliteDatabase)
        archive, existed = self._sibling_path(archive_name), self.exists()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        answer = self._run_apsw_program("file_replacement", copy._file, archive, self.wait_timeout)
        if not answer["replaced"]:
            remove_files(archive)
            for suffix in FILE_SUFFIXES:
                with suppress(FileNotFoundError):
                    self._file.with_name(self._file.name + suffix).rename(archive.with_name(archive.name + suffix))
            copy._file.rename(self._file)
        return str(archive) if existed else ""

    def change_stream(self, folder: Path, keep: float) -> LitestreamReplica:
        """Return the stream of this file's changes."""
        return LitestreamReplica(self._file, folder, keep)

    def recover(self, files: Path, moment: datetime | None, into: Path) -> None:
        """Write the database as it was at a moment, from the files of a change stream."""
        recover(files, moment, into)

    # ── engine ─────────────────────────────────────────────────────────────────────────────────

    def _run_apsw_program(self, module: str, *arguments: object, into: IO[bytes] | None = None) -> dict[str, Any]:
        """Run a program on this file and return its answer (see ``apsw_program``); raises DatabaseError."""
        command = [sys.executable, "-P", "-m", f"abreast.database.sqlite.{module}", self._file, *arguments]
        code, error_output = run_program([str(part) for part in command], into=into)
        try:
            answer: dict[str, Any] = json.loads(error_output.rpartition("\n")[2])
        except ValueError:
            reason = f"the {module.partition('_')[2]} was killed by signal {-code}" if code < 0 else error_output
            raise sqlite_error(self._file, reason, "") from None
        if "error" in answer:
            raise sqlite_error(self._file, answer["error"], answer["code"])
        return answer

    def _connect(self) -> AbstractContextManager[sqlite3.Connection]:
        return open_for_reading(self._file, self.wait_timeout)

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return open_for_writing(self._file, self.wait_timeout)

    @contextmanager
    def _lock_acquirer(self) -> Iterator[Callable[[], bool]]:
        lock = self._sibling_path("migrations.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        migration_lock = FileLock(lock)
        try:
            yield migration_lock.try_acquire
        finally:
            migration_lock.release()

    def _run_step(
        self, migration: Migration, step: MigrationStep, record: MigrationRecorder, limits: MigrationLimits
    ) -> tuple[str, ...]:
        with open_for_writing(self._file, limits.lock_timeout, transaction=step.in_transaction) as db:
            perform = (
                migration_steps.run_in_transaction
                if step.in_transaction
                else migration_steps.run_statement_by_statement
            )
            perform(db, self._metadata(db), migration, step, record, limits.statement_timeout)
        return ("the database, for writing",)

    def _is_lock_timeout(self, error: DatabaseError) -> bool:
        return is_lock_error(error.__cause__)

    def _sibling_path(self, name: str) -> Path:
        return self._file.with_name(f".{self._file.name}.{name}")
