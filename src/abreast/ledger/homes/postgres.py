"""A ledger in a PostgreSQL database: one table of chained entries for all projects, one of signs of life."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from abreast.core.errors import StateError
from abreast.ledger.hash_chain import Link
from abreast.ledger.homes.interface import Home, HomeAwayError

if TYPE_CHECKING:
    from types import ModuleType

    from psycopg import Connection

TIMEOUT = 30
"""Seconds to connect, and for one statement."""

_TABLES = """
    CREATE SCHEMA IF NOT EXISTS abreast;
    CREATE TABLE IF NOT EXISTS abreast.entries (
        project text NOT NULL, seq bigint NOT NULL, entry text NOT NULL, hash text NOT NULL, PRIMARY KEY (project, seq)
    );
    CREATE TABLE IF NOT EXISTS abreast.beats (
        project text NOT NULL, environment text NOT NULL, beat bigint NOT NULL, PRIMARY KEY (project, environment)
    );
"""
PAGE = 500
"""How many entries are read at once."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('abreast'), hashtext(%s))"
"""One writer of a project at a time: a chain has no gaps."""


class PostgresHome(Home):
    """The entries of one project in one database."""

    def __init__(self, url: str, project: str) -> None:
        self._url = url
        self._project = project
        self._open: Connection[Any] | None = None
        self._lock = threading.RLock()
        """One thread at a time has the connection: a sign of life must not join another thread's transaction."""

    @property
    def title(self) -> str:
        """The database, without its password."""
        return re.sub(r"//[^/]*@", "//", self._url).partition("?")[0]

    def stream(self, after: int) -> Iterator[Link]:
        """Yield the links with a number above ``after``, a page at a time."""
        while page := self._page(after):
            yield from page
            after = page[-1].seq

    def _page(self, after: int) -> list[Link]:
        query = "SELECT seq, entry, hash FROM abreast.entries WHERE project = %s AND seq > %s ORDER BY seq LIMIT %s"
        with self._connection() as db:
            return [Link(*row) for row in db.execute(query, (self._project, after, PAGE))]

    def append(self, last: Link | None, links: Sequence[Link]) -> bool:
        """Append links in one transaction, if the chain ends with ``last``."""
        newest = "SELECT seq, entry, hash FROM abreast.entries WHERE project = %s AND seq > %s ORDER BY seq"
        with self._connection() as db, db.transaction():
            db.execute(_LOCK, (self._project,))
            found = [Link(*row) for row in db.execute(newest, (self._project, last.seq - 1 if last else 0))]
            known = [last] if last else []
            if found != known:
                return found == [*known, *links]
            with db.cursor() as cursor:
                rows = [(self._project, *link) for link in links]
                cursor.executemany("INSERT INTO abreast.entries VALUES (%s, %s, %s, %s)", rows)
        return True

    def beat(self, environment: str) -> None:
        """Count one on."""
        with self._connection() as db:
            db.execute(
                "INSERT INTO abreast.beats VALUES (%s, %s, 1) ON CONFLICT (project, environment)"
                " DO UPDATE SET beat = beats.beat + 1",
                (self._project, environment),
            )

    def last_beat(self, environment: str) -> str:
        """Return the count."""
        query = "SELECT beat FROM abreast.beats WHERE project = %s AND environment = %s"
        with self._connection() as db:
            row = db.execute(query, (self._project, environment)).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Close the connection."""
        if self._open:
            self._open.close()
            self._open = None

    @contextmanager
    def _connection(self) -> "Iterator[Connection[Any]]":
        psycopg = _driver()
        try:
            with self._lock:
                if self._open is None or self._open.closed:
                    self._open = self._connect()
                yield self._open
        except psycopg.errors.InsufficientPrivilege as error:
            self.close()
            raise StateError(
                f"{self.title}: {error.diag.message_primary}",
                need="a role that may create the schema abreast, or may read and write its tables",
            ) from error
        except psycopg.Error as error:
            self.close()
            raise HomeAwayError(f"{self.title}: {error}", need="a database that answers") from error

    def _connect(self) -> "Connection[Any]":
        psycopg = _driver()
        options = f"-c statement_timeout={TIMEOUT}s -c lock_timeout={TIMEOUT}s"
        db: Connection[Any] = psycopg.connect(self._url, autocommit=True, connect_timeout=TIMEOUT, options=options)
        try:
            if db.execute("SELECT to_regclass('abreast.beats')").fetchone() == (None,):
                with db.transaction():
                    db.execute(_LOCK, ("",))  # two that begin at once
                    db.execute(_TABLES)
        except psycopg.Error:
            db.close()
            raise
        return db


def _driver() -> "ModuleType":
    """Import psycopg, which is slow, and which only this home needs."""
    try:
        import psycopg  # noqa: PLC0415
    except ImportError as error:
        need = "psycopg for a record in PostgreSQL"
        raise StateError("psycopg is not installed", need=need, next="pip install 'abreast[postgres]'") from error
    return psycopg
