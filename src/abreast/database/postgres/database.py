"""PostgreSQL, by psycopg and its own pg_dump and pg_restore (https://www.postgresql.org/docs/current/app-pgdump.html)."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Migration, Step
from abreast.core.tables import Tables
from abreast.database.engine import Engine, Note
from abreast.database.interface import Contents, Database, Limits, Tell
from abreast.database.notes import Dialect, Notes
from abreast.database.postgres import catalog, steps, whole
from abreast.database.postgres.server import connected, named, one, program, quoted, sql

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMES = ("postgresql://", "postgres://")
LONGEST = 63
"""Letters of a name, at most (NAMEDATALEN)."""
OLDEST = 130000
_COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
_LOCK = "hashtextextended('abreast migrations', 0)"


class PostgresDatabase(Engine):
    """One database of a server; copies are made at ``scratch``, the URL of a server, or beside it.

    ``like``: the database that this one is a copy of, "" for one that is none. ``abroad``: that is another server's,
    whose roles are not here.
    """

    engine = "postgresql"
    dialect = Dialect("%s", "serial", "timestamptz", _COLUMNS)

    def __init__(self, url: str, scratch: str | None = None, *, like: str = "", abroad: bool = False) -> None:
        self._url = url
        self._scratch = scratch
        self._like = like
        self._abroad = abroad
        self._name = urlsplit(url).path.removeprefix("/")

    def address(self) -> str:
        """Return the URL by which an application reaches it."""
        return self._url

    def version(self) -> str:
        """Return the server's version; raises DatabaseError where it cannot be reached or is too old."""
        with self._open() as db:
            if db.info.server_version < OLDEST:
                raise DatabaseError(f"PostgreSQL {db.info.server_version // 10000} is too old", need="13 or newer")
            return str(one(db, "SHOW server_version")).split(" ")[0]

    def exists(self) -> bool:
        """Tell whether it is there."""
        import psycopg  # noqa: PLC0415 (slow, and only databases need it)

        try:
            with self._open():
                return True
        except DatabaseError as error:
            # A connection that fails has no SQLSTATE, but its words (libpq gives no more).
            if isinstance(error.__cause__, psycopg.OperationalError) and "does not exist" in str(error.__cause__):
                return False
            raise

    def contents(self) -> Contents:
        """Return what it holds, by counting."""
        with self._open() as db:
            return catalog.contents(db)

    def sizes(self) -> Mapping[str, int]:
        """Return about how many rows each table has."""
        with self._open() as db:
            return catalog.sizes(db)

    def tables(self) -> Tables:
        """Return what it looks like."""
        with self._open() as db:
            return catalog.tables(db)

    # ── dump and restore ───────────────────────────────────────────────────────────────────────

    def dump(self, into: IO[bytes]) -> Contents:
        """Write all of it, as it is at one moment, while others write; returns what it held at that moment."""
        with self._open() as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            snapshot = f"--snapshot={one(db, 'SELECT pg_export_snapshot()')}"
            with ThreadPoolExecutor(1) as beside:
                counting = beside.submit(catalog.contents, db)
                program(self._url, "pg_dump", "--no-password", "--format=custom", "--compress=0", snapshot, into=into)
                return counting.result()

    def restore(self, dump: Path) -> None:
        """Make this database, which is a copy that nobody uses, what was dumped; the dump is gone then."""
        self.drop()
        with self._server() as db:
            whole.make(db, self._name, self._like)
        options = ["--exit-on-error", "--no-password", f"--jobs={os.cpu_count() or 1}", f"--dbname={self._name}"]
        if self._abroad:
            options += ["--no-owner", "--no-acl"]
        program(self._url, "pg_restore", *options, str(dump))
        dump.unlink()

    def check(self) -> Contents:
        """Return what it holds: that each constraint and index could be made of it shows that it is whole."""
        return self.contents()

    def beside(self, name: str, *, here: bool = False) -> "PostgresDatabase":
        """Return the copy of that name: at the scratch server, or ``here``, where it can take this one's place."""
        abroad = bool(self._scratch) and not here
        server = self._scratch if self._scratch and not here else self._url
        room = LONGEST - len(name) - 1
        return PostgresDatabase(named(server, f"{self._name[:room]}_{name}"), like=self._name, abroad=abroad)

    def copy_from(self, other: Database) -> None:
        """Make this copy anew from another one that nobody uses."""
        assert isinstance(other, PostgresDatabase)
        self.drop()
        with self._server() as db:
            db.execute(sql(f"CREATE DATABASE {quoted(self._name)} TEMPLATE {quoted(other._name)}"))

    def drop(self) -> None:
        """Take this copy away; fine where there is none."""
        assert self._like, "only copies are dropped"
        with self._server() as db:
            db.execute(sql(f"DROP DATABASE IF EXISTS {quoted(self._name)} WITH (FORCE)"))

    def replace_by(self, copy: Database, kept: str, tell: Tell) -> str:
        """Let a copy take this database's name, owner, rights and settings, when the sessions of both were ended.

        Data come first: where this role may not give the copy one of these, ``tell`` hears what is to be done by hand.
        """
        assert isinstance(copy, PostgresDatabase)
        aside = f"{self._name[: LONGEST - len(kept) - 1]}_{kept}"
        there = self.exists()
        with self._server() as db:
            whole.dress(db, copy._name, self._name, tell)
            whole.swap(db, self._name, copy._name, aside, there=there)
        return aside if there else ""

    # ── what an engine does ────────────────────────────────────────────────────────────────────

    def _open(self) -> "AbstractContextManager[Connection[Any]]":
        return connected(self._url, self.patience)

    @contextmanager
    def _transaction(self) -> "Iterator[Connection[Any]]":
        with self._open() as db, db.transaction():
            db.execute(sql(f"SET LOCAL lock_timeout = {int(self.patience * 1000)}"))
            yield db

    @contextmanager
    def _locking(self) -> Iterator[Callable[[], bool]]:
        with self._open() as db:
            yield lambda: bool(one(db, f"SELECT pg_try_advisory_lock({_LOCK})"))

    def _perform(self, migration: Migration, step: Step, note: Note, limits: Limits) -> tuple[str, ...]:
        with self._open() as db:
            db.execute(sql(f"SET lock_timeout = {int(limits.lock * 1000)}"))
            db.execute(sql(f"SET statement_timeout = {int(limits.statement * 1000)}"))
            perform = steps.whole if step.transaction else steps.one_by_one
            return perform(db, Notes(db, self.dialect), migration, step, note)

    def _waited(self, error: DatabaseError) -> bool:
        return getattr(error.__cause__, "sqlstate", None) in steps.LOCKED

    def _server(self) -> "AbstractContextManager[Connection[Any]]":
        """Connect to the server for what is done with whole databases."""
        return connected(named(self._url, "postgres"), self.patience)
