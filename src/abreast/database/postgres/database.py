"""PostgreSQL, through psycopg, pg_dump and pg_restore (https://www.postgresql.org/docs/current/app-pgdump.html)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import Migration, MigrationStep
from abreast.core.schema.tables import Tables
from abreast.database.interface import Database, DatabaseCopy, DatabaseStats, MigrationLimits, Reporter
from abreast.database.metadata_tables import DEFAULT_MIGRATIONS_TABLE, Dialect, metadata_tables
from abreast.database.postgres import catalog, database_admin, migration_steps
from abreast.database.postgres.changes.change_stream import WalStream
from abreast.database.postgres.changes.recovery import recover
from abreast.database.postgres.client import (
    DUMP_OPTIONS,
    connect,
    encode_sql,
    fetch_value,
    open_connection,
    quote_identifier,
    run_client_program,
)
from abreast.database.postgres.connection_url import connection_parts, database_name, with_database
from abreast.database.postgres.lock_watch import LockWatch
from abreast.database.postgres.redirection import Redirection, leads_to
from abreast.database.postgres.sectioned_restore import is_caused_by_a_check, restore_in_sections
from abreast.database.sql_database import MigrationRecorder, SqlDatabase

if TYPE_CHECKING:
    from psycopg import Connection

MAINTENANCE_DATABASE = "postgres"
MAX_NAME_LENGTH = 63
"""Maximum length of an identifier in bytes (NAMEDATALEN - 1)."""
MIN_SERVER_VERSION = 130000
FOREIGN_SERVER_GAP = "owners and rights: they were not tried, since the scratch server may lack the roles"
_COLUMN_NAMES_SQL = (
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
_DATABASES_SQL = (
    "SELECT datname, CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END"
    " FROM pg_database WHERE datname ~ '_(before_|[a-z]+-)[0-9a-z]+$'"
)
"""Databases with the name of a copy; the size of one that this role may not open is not told."""
_LOCK_KEY = "hashtextextended('abreast migrations', 0)"


class PostgresDatabase(SqlDatabase):
    """One database of a server; copies go to the server at the URL ``scratch``, or to the same server.

    ``admin`` is its URL with a role that may dump, create and restore; by default the same as for applications.
    ``copy_of`` is the database that this one is a copy of, "" for an original. ``foreign_server`` means that the
    original is on another server, whose roles may not exist on this one.
    """

    engine = "postgresql"
    dialect = Dialect("%s", "serial", "timestamptz", _COLUMN_NAMES_SQL)

    def __init__(
        self,
        url: str,
        scratch: str | None = None,
        *,
        admin: str | None = None,
        copy_of: str = "",
        foreign_server: bool = False,
        migrations_table: str = DEFAULT_MIGRATIONS_TABLE,
    ) -> None:
        super().__init__(migrations_table)
        self._url = url
        self._scratch = scratch
        self._copy_of = copy_of
        self._foreign_server = foreign_server
        self._admin = admin or url
        self._name = database_name(url)

    def connection_url(self) -> str:
        """Return the URL for applications."""
        return self._url

    def connection_parts(self) -> Mapping[str, str]:
        """Return what the URL for applications says, with libpq's defaults."""
        return {**connection_parts(self._url), "connectionString": self._url}

    def engine_version(self) -> str:
        """Return the server's version; raises DatabaseError if it is unreachable or too old."""
        with self._connect() as db:
            if db.info.server_version < MIN_SERVER_VERSION:
                raise DatabaseError(
                    f"PostgreSQL {db.info.server_version // 10000} is too old", need="PostgreSQL 13 or newer"
                )
            return str(fetch_value(db, "SHOW server_version")).split(" ")[0]

    def exists(self) -> bool:
        """Return whether the database exists."""
        import psycopg  # noqa: PLC0415 (slow, and only databases need it)

        try:
            with self._connect():
                return True
        except DatabaseError as error:
            # A failed connection has no SQLSTATE; libpq gives a message only.
            if isinstance(error.__cause__, psycopg.OperationalError) and "does not exist" in str(error.__cause__):
                return False
            raise

    def stats(self) -> DatabaseStats:
        """Return rows, counted, and size."""
        with self._connect_as_admin() as db:
            return catalog.read_stats(db)

    def estimate_row_counts(self) -> Mapping[str, int]:
        """Return an estimate of each table's rows."""
        with self._connect_as_admin() as db:
            return catalog.estimate_row_counts(db)

    def tables(self) -> Tables:
        """Return the tables and views, except abreast's own."""
        with self._connect_as_admin() as db:
            return catalog.read_tables(db, metadata_tables(self._migrations_table))

    # ── dump and restore ───────────────────────────────────────────────────────────────────────

    def dump(self, into: IO[bytes]) -> DatabaseStats:
        """Write a consistent dump while others write; return the rows and size at that moment."""
        with self._connect_as_admin() as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            snapshot = f"--snapshot={fetch_value(db, 'SELECT pg_export_snapshot()')}"
            with ThreadPoolExecutor(1) as executor:
                pending_stats = executor.submit(catalog.read_stats, db)
                run_client_program(self._admin, "pg_dump", *DUMP_OPTIONS, snapshot, into=into)
                return pending_stats.result()

    def restore(self, dump: Path) -> Sequence[str]:
        """Restore a dump into this database, a copy without users; the dump is consumed.

        Returns what did not come back as it was: owners and rights on another server, and CHECK constraints that the
        restored rows do not satisfy.
        """
        self._create_empty()
        try:
            self._run_pg_restore(dump)
            gaps: Sequence[str] = ()
        except DatabaseError as error:
            if not is_caused_by_a_check(error):
                raise
            self._create_empty()
            gaps = restore_in_sections(
                self._connect_as_admin, lambda section: self._run_pg_restore(dump, f"--section={section}")
            )
        dump.unlink()
        return (*gaps, *([FOREIGN_SERVER_GAP] if self._foreign_server else []))

    def _create_empty(self) -> None:
        self.drop()
        with self._connect_to_server() as db:
            database_admin.create_like(db, self._name, self._copy_of)

    def _run_pg_restore(self, dump: Path, *options: str) -> None:
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 (slow, and only databases need it)

        if self._foreign_server:
            options = (*options, "--no-owner", "--no-acl")
        target = (f"--jobs={os.cpu_count() or 1}", f"--dbname={make_conninfo(dbname=self._name)}")
        run_client_program(self._admin, "pg_restore", "--exit-on-error", "--no-password", *target, *options, str(dump))

    def change_stream(self, folder: Path, keep: float) -> WalStream:
        """Return the stream of the server's changes: PostgreSQL records those of all its databases together."""
        return WalStream(self._admin, folder, keep)

    def recover(self, files: Path, moment: datetime | None, into: Path) -> None:
        """Write the database, or the one that this is a copy of, as it was at a moment.

        A server of its own replays the change stream.
        """
        recover(files, moment, self._copy_of or self._name, into)

    def check_integrity(self) -> DatabaseStats:
        """Return rows and size; pg_restore has verified the data by creating every constraint and index."""
        return self.stats()

    def sibling_copy(self, name: str, *, swappable: bool = False) -> "PostgresDatabase":
        """Return the copy called ``name``: on the scratch server, or on this one if ``swappable``."""
        foreign_server = bool(self._scratch) and not swappable
        server = self._scratch if self._scratch and not swappable else self._url
        sibling = self._sibling_name(name)
        return PostgresDatabase(
            with_database(server, sibling),
            admin=None if foreign_server else with_database(self._admin, sibling),
            copy_of=self._name,
            foreign_server=foreign_server,
            migrations_table=self._migrations_table,
        )

    def list_copies(self) -> list[DatabaseCopy]:
        """Return the copies on this server and on the scratch server."""
        found: dict[str, DatabaseCopy] = {}
        for server in self._servers():
            with connect(with_database(server, MAINTENANCE_DATABASE), self.wait_timeout) as db:
                rows = db.execute(encode_sql(_DATABASES_SQL)).fetchall()
            copies = (self._copy_called(name, size) for name, size in rows)
            found |= {copy.name: copy for copy in copies if copy}
        return sorted(found.values(), key=lambda copy: copy.name)

    def _copy_called(self, name: str, size: int) -> DatabaseCopy | None:
        """Return the copy of this database that a database of the server is, None if it is none."""
        underscores = (at for at, letter in enumerate(name) if letter == "_")
        copies = (DatabaseCopy.from_name(name[at + 1 :], size) for at in underscores)
        return next((copy for copy in copies if copy and self._sibling_name(copy.name) == name), None)

    def drop_copy(self, copy: DatabaseCopy) -> None:
        """Delete a copy that ``list_copies`` returned."""
        for server in self._servers():
            url = with_database(server, self._sibling_name(copy.name))
            PostgresDatabase(url, copy_of=self._name, migrations_table=self._migrations_table).drop()

    def _servers(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (self._admin, self._scratch))))

    def _sibling_name(self, name: str) -> str:
        room = MAX_NAME_LENGTH - len(name) - 1
        return f"{self._name.encode()[:room].decode(errors='ignore')}_{name}"

    def redirected_variables(self, variables: Mapping[str, str], copy: Database) -> Mapping[str, str]:
        """Return the variables that lead to this database, leading to ``copy`` instead."""
        return Redirection(self._url, copy.connection_url()).variables(variables)

    def variables_leading_here(self, variables: Mapping[str, str]) -> frozenset[str]:
        """Return the names of the variables that lead to this database."""
        return frozenset(name for name, value in variables.items() if leads_to(self._url, name, value))

    def copy_from(self, other: Database) -> None:
        """Recreate this copy from another copy without users."""
        assert isinstance(other, PostgresDatabase)
        self.drop()
        with self._connect_to_server() as db:
            db.execute(
                encode_sql(f"CREATE DATABASE {quote_identifier(self._name)} TEMPLATE {quote_identifier(other._name)}")
            )
            database_admin.copy_settings(db, self._name, self._copy_of)

    def recreate(self) -> None:
        """Create this copy anew, empty."""
        self._create_empty()

    def copy_properties(self, report: Reporter) -> None:
        """Give this copy the owner, the grants and the settings of its original; see copy_database_properties."""
        with self._connect_to_server() as db:
            database_admin.copy_database_properties(db, self._name, self._copy_of, report)

    def drop(self) -> None:
        """Delete this copy, if it exists."""
        assert self._copy_of, "only copies are dropped"
        with self._connect_to_server() as db, self._connect_to_server() as ender:
            database_admin.drop(db, ender, self._name)

    def replace_with(self, copy: Database, archive_name: str, report: Reporter) -> str:
        """Give a copy this database's name, owner, grants and settings, after ending the sessions of both.

        If this role lacks the privilege for a property, ``report`` receives the SQL to run by hand, and the swap goes
        on.
        """
        assert isinstance(copy, PostgresDatabase)
        archive = self._sibling_name(archive_name)
        existed = self.exists()
        with self._connect_to_server() as db, self._connect_to_server() as ender:
            database_admin.copy_database_properties(db, copy._name, self._name, report)
            database_admin.swap(db, ender, self._name, copy._name, archive, original_exists=existed)
        return archive if existed else ""

    def lock_watch(self, limit: float, report: Reporter) -> LockWatch:
        """Watch the sessions of a migration tool, and cancel one that waits longer than ``limit`` seconds."""
        return LockWatch(lambda: open_connection(self._url, self.wait_timeout), limit, report)

    # ── engine ─────────────────────────────────────────────────────────────────────────────────

    def _connect(self) -> "AbstractContextManager[Connection[Any]]":
        return connect(self._url, self.wait_timeout)

    def _connect_as_admin(self) -> "AbstractContextManager[Connection[Any]]":
        """Connect by a role that sees every row, whatever row security hides from applications."""
        return connect(self._admin, self.wait_timeout)

    @contextmanager
    def _transaction(self) -> "Iterator[Connection[Any]]":
        with self._connect() as db, db.transaction():
            db.execute(encode_sql(f"SET LOCAL lock_timeout = {int(self.wait_timeout * 1000)}"))
            yield db

    @contextmanager
    def _lock_acquirer(self) -> Iterator[Callable[[], bool]]:
        with self._connect() as db:
            yield lambda: bool(fetch_value(db, f"SELECT pg_try_advisory_lock({_LOCK_KEY})"))

    def _run_step(
        self, migration: Migration, step: MigrationStep, record: MigrationRecorder, limits: MigrationLimits
    ) -> tuple[str, ...]:
        with self._connect() as db:
            db.execute(encode_sql(f"SET lock_timeout = {int(limits.lock_timeout * 1000)}"))
            db.execute(encode_sql(f"SET statement_timeout = {int(limits.statement_timeout * 1000)}"))
            perform = (
                migration_steps.run_in_transaction
                if step.in_transaction
                else migration_steps.run_statement_by_statement
            )
            return perform(db, self._metadata(db), migration, step, record)

    def _is_lock_timeout(self, error: DatabaseError) -> bool:
        return getattr(error.__cause__, "sqlstate", None) in migration_steps.LOCK_SQLSTATES

    def _connect_to_server(self) -> "AbstractContextManager[Connection[Any]]":
        """Connect to the maintenance database, to create, rename and drop databases."""
        return connect(with_database(self._admin, MAINTENANCE_DATABASE), self.wait_timeout)
