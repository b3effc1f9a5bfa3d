"""SQLite: copies by the online backup API, so that a dump is of one moment while others write."""

import fcntl
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Migration, Step
from abreast.core.tables import Tables
from abreast.database.engine import Engine, Note
from abreast.database.interface import Contents, Database, Limits, Tell
from abreast.database.notes import Dialect, Notes
from abreast.database.programs import program
from abreast.database.sqlite import catalog, steps
from abreast.database.sqlite.file import LET_GO, SUFFIXES, busy, failed, reading, removed, told, writing

PREFIX = "sqlite:///"
_DUMP = [sys.executable, "-P", "-m", "abreast.database.sqlite.dumping"]


class SqliteDatabase(Engine):
    """One file; ``url`` is ``sqlite:///relative`` to ``folder``, or ``sqlite:////absolute``."""

    engine = "sqlite"
    dialect = Dialect("?", "INTEGER", "TEXT", "SELECT name FROM pragma_table_info(?)")

    def __init__(self, url: str, folder: Path) -> None:
        self._file = folder / unquote(url.removeprefix(PREFIX))

    def address(self) -> str:
        """Return the URL by which an application reaches it."""
        return f"{PREFIX}{self._file}"

    def version(self) -> str:
        """Return the engine's version; raises DatabaseError where the file is none of its databases."""
        with self._open() as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return sqlite3.sqlite_version

    def exists(self) -> bool:
        """Tell whether it is there."""
        return self._file.exists()

    def contents(self) -> Contents:
        """Return what it holds; nothing where it is not there yet."""
        with self._open() as db:
            db.execute("BEGIN")
            return catalog.contents(db)

    def sizes(self) -> Mapping[str, int]:
        """Return how many rows each table has."""
        return self.contents().rows

    def tables(self) -> Tables:
        """Return what it looks like."""
        with self._open() as db:
            return catalog.tables(db)

    # ── dump and restore ───────────────────────────────────────────────────────────────────────

    def dump(self, into: IO[bytes]) -> Contents:
        """Write all of it, as it is at one moment, while others write; returns what it held at that moment."""
        code, said = program([*_DUMP, str(self._file), str(self.patience)], into=into)
        try:
            found = json.loads(said.rpartition("\n")[2])
        except ValueError:
            raise failed(self._file, f"the dump ended by signal {-code}" if code < 0 else said, "") from None
        if "error" in found:
            raise failed(self._file, found["error"], found["code"])
        return Contents(**found)

    def restore(self, dump: Path) -> None:
        """Make this database, which is a copy that nobody uses, what was dumped; the dump is gone then."""
        self.drop()
        with told(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(dump, self._file)

    def check(self) -> Contents:
        """Look whether it is whole, and return what it holds."""
        with self._open() as db:
            found = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
            if found != ["ok"]:
                raise DatabaseError(f"{self._file} is damaged: {'; '.join(found)}")
            return catalog.contents(db)

    def beside(self, name: str, *, here: bool = False) -> "SqliteDatabase":  # noqa: ARG002 (there is no other place)
        """Return the copy of that name beside this one, be it there or not."""
        return SqliteDatabase(f"{PREFIX}{self._sibling(name)}", Path("/"))

    def copy_from(self, other: Database) -> None:
        """Make this copy anew from another one that nobody uses."""
        assert isinstance(other, SqliteDatabase)
        self.drop()
        with told(self._file):
            shutil.copyfile(other._file, self._file)

    def drop(self) -> None:
        """Take this copy away; fine where there is none."""
        removed(self._file)

    def replace_by(self, copy: Database, kept: str, tell: Tell) -> str:  # noqa: ARG002 (all of it is in the file)
        """Put a copy in this database's place, in one transaction, under the applications that have it open.

        What was, with all that was written until then, is kept beside it, also where it is no database any more.
        """
        assert isinstance(copy, SqliteDatabase)
        aside, there = self._sibling(kept), self.exists()
        try:
            with copy._open() as source, writing(self._file, self.patience, transaction=False) as target:
                if there:
                    removed(aside)
                    with told(aside), closing(sqlite3.connect(aside)) as before:
                        target.backup(before)
                source.backup(target, progress=_patient(self._file, self.patience))
        except DatabaseError as error:
            if not _is_none(error):
                raise
            removed(aside)
            for suffix in SUFFIXES:
                with suppress(FileNotFoundError):
                    self._file.with_name(self._file.name + suffix).rename(aside.with_name(aside.name + suffix))
            copy._file.rename(self._file)
        return str(aside) if there else ""

    # ── what an engine does ────────────────────────────────────────────────────────────────────

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return reading(self._file, self.patience)

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return writing(self._file, self.patience)

    @contextmanager
    def _locking(self) -> Iterator[Callable[[], bool]]:
        lock = self._sibling("migrations.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:

            def taken() -> bool:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            yield taken

    def _perform(self, migration: Migration, step: Step, note: Note, limits: Limits) -> tuple[str, ...]:
        with writing(self._file, limits.lock, transaction=step.transaction) as db:
            perform = steps.whole if step.transaction else steps.one_by_one
            perform(db, Notes(db, self.dialect), migration, step, note, limits.statement)
        return ("the database, for writing",)

    def _waited(self, error: DatabaseError) -> bool:
        return busy(error.__cause__)

    def _sibling(self, name: str) -> Path:
        return self._file.with_name(f".{self._file.name}.{name}")


def _is_none(error: DatabaseError) -> bool:
    """Tell whether a file turned out to be no database any more."""
    why = error.__cause__
    return isinstance(why, sqlite3.DatabaseError) and not isinstance(why, sqlite3.OperationalError)


def _patient(file: Path, seconds: float) -> Callable[[int, int, int], None]:
    """Return what ends a copy that waits for others' locks too long; by itself it would wait for ever."""
    until = time.monotonic() + seconds

    def look(status: int, _: int, __: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and time.monotonic() > until:
            raise DatabaseError(f"{file}: the database is locked", need=LET_GO, next="try again")

    return look
