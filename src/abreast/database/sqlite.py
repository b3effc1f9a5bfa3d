"""SQLite: copies by the online backup API, so that a dump is of one moment while others write."""

import fcntl
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Applied, Migration, Step
from abreast.core.tables import Column, Table, Tables
from abreast.database import notes
from abreast.database.interface import Contents, Database, Limits, Ran, Tell

PREFIX = "sqlite:///"
PATIENCE = 10.0
"""Seconds to wait for whoever has the database locked."""
CHUNK = 1 << 20


class SqliteDatabase(Database):
    """One file; ``url`` is ``sqlite:///relative`` to ``folder``, or ``sqlite:////absolute``."""

    engine = "sqlite"

    def __init__(self, url: str, folder: Path) -> None:
        self._file = folder / unquote(url.removeprefix(PREFIX))

    def address(self) -> str:
        """Return the URL by which an application reaches it."""
        return f"{PREFIX}{self._file}"

    def version(self) -> str:
        """Return the engine's version; raises DatabaseError where the file is none of its databases."""
        if self.exists():
            with self._open() as db:
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return sqlite3.sqlite_version

    def exists(self) -> bool:
        """Tell whether it is there."""
        return self._file.exists()

    def contents(self) -> Contents:
        """Return what it holds; nothing where it is not there yet."""
        if not self.exists():
            return Contents()
        with self._open() as db:
            db.execute("BEGIN")
            return _contents(db)

    def sizes(self) -> Mapping[str, int]:
        """Return how many rows each table has."""
        return self.contents().rows

    def tables(self) -> Tables:
        """Return what it looks like."""
        if not self.exists():
            return {}
        with self._open() as db:
            return {name: _table(db, name) for name in _names(db, "'table', 'view'") if name not in notes.OWN}

    def owner(self) -> str:
        """Return whose it is, as ``claim`` noted it; "" where nobody did."""
        return self._noted("owner")

    def restored(self) -> str:
        """Return the deployment that put this database in place, as ``claim`` noted it, "" where none did."""
        return self._noted("restored")

    def _noted(self, what: str) -> str:
        if not self.exists():
            return ""
        with self._open() as db:
            if notes.OWNER not in _names(db):
                return ""
            found = db.execute(f"SELECT {what} FROM {notes.OWNER}").fetchone()
            return str(found[0]) if found else ""

    def claim(self, owner: str, restored: str = "") -> None:
        """Note whose it is, in the database itself, and which deployment will have put it in place."""
        with self._open(write=True) as db:
            db.execute(f"CREATE TABLE IF NOT EXISTS {notes.OWNER} (owner TEXT NOT NULL, restored TEXT NOT NULL)")
            db.execute(f"DELETE FROM {notes.OWNER}")
            db.execute(f"INSERT INTO {notes.OWNER} VALUES (?, ?)", (owner, restored))

    def dump(self, into: IO[bytes]) -> Contents:
        """Write all of it, as it is at one moment, while others write; returns what it held at that moment."""
        self._forget_dumps()
        copy = self._sibling(f"dump-{os.getpid()}")
        if not self.exists():
            with self._open(write=True):
                pass  # the first migration makes what is in it
        try:
            with self._open() as db, _told(copy), closing(sqlite3.connect(copy, isolation_level=None)) as target:
                target.execute("PRAGMA journal_mode=OFF")
                target.execute("PRAGMA synchronous=OFF")
                db.execute("BEGIN")  # what is counted is what is copied
                contents = _contents(db)
                db.backup(target)
            with copy.open("rb") as file:
                shutil.copyfileobj(file, into, CHUNK)
        except OSError as error:
            raise DatabaseError(
                f"{self._file} could not be copied: {error.strerror}",
                need=f"room for a copy of it in {self._file.parent}",
            ) from error
        finally:
            _remove(copy)
        return contents

    def _forget_dumps(self) -> None:
        """Take away the copies of processes that are gone; another's, that is at work, stays."""
        prefix = self._sibling("dump-").name
        for left in self._file.parent.glob(f"{prefix}*"):
            process = left.name.removeprefix(prefix).partition("-")[0]
            if process == str(os.getpid()) or not Path(f"/proc/{process}").exists():
                left.unlink(missing_ok=True)

    def restore(self, dump: Path) -> None:
        """Make this database, which is a copy that nobody uses, what was dumped; the dump is gone then."""
        self.drop()
        shutil.move(dump, self._file)

    def check(self) -> Contents:
        """Look whether it is whole, and return what it holds."""
        with self._open() as db:
            found = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
            if found != ["ok"]:
                raise DatabaseError(f"{self._file} is damaged: {'; '.join(found)}")
            return _contents(db)

    def beside(self, name: str, *, here: bool = False) -> "SqliteDatabase":  # noqa: ARG002 (there is no other place)
        """Return the copy of that name beside this one, be it there or not."""
        return SqliteDatabase(f"{PREFIX}{self._sibling(name)}", Path("/"))

    def copy_from(self, other: Database) -> None:
        """Make this copy anew from another one that nobody uses."""
        assert isinstance(other, SqliteDatabase)
        self.drop()
        try:
            shutil.copyfile(other._file, self._file)
        except OSError as error:
            raise DatabaseError(f"{other._file} could not be copied: {error.strerror}", need="room for it") from error

    def drop(self) -> None:
        """Take this copy away; fine where there is none."""
        _remove(self._file)

    def replace_by(self, copy: Database, kept: str) -> str:
        """Put a copy in this database's place, in one transaction, under the applications that have it open.

        A file that is no database any more is put aside instead; returns its name then.
        """
        assert isinstance(copy, SqliteDatabase)
        try:
            with copy._open() as source, self._open(write=True, transaction=False) as target:
                source.backup(target)
        except DatabaseError as error:
            if not isinstance(error.__cause__, sqlite3.DatabaseError) or isinstance(
                error.__cause__, sqlite3.OperationalError
            ):
                raise
            aside = self._sibling(kept)
            for suffix in _SUFFIXES:
                with suppress(FileNotFoundError):
                    self._file.with_name(self._file.name + suffix).rename(aside.with_name(aside.name + suffix))
            copy._file.rename(self._file)
            return str(aside)
        return ""

    def applied(self) -> Sequence[Applied]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""
        if not self.exists():
            return ()
        with self._open() as db:
            names = _names(db)
            if notes.TABLE not in names:
                return ()
            columns = _columns_of_notes(db)
            if notes.BEGUN in names and (begun := db.execute(f"SELECT filename, done FROM {notes.BEGUN}").fetchone()):
                raise notes.half_run(*begun)
            checksum = "coalesce(checksum, '')" if "checksum" in columns else "''"
            rows = db.execute(f"SELECT filename, executed_at, {checksum} FROM {notes.TABLE} ORDER BY id").fetchall()
            return tuple(Applied(name, str(at), known) for name, at, known in rows)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of migrations, that of a file beside the database, for the block."""
        lock = self._sibling("migrations.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            until = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > until:
                        raise DatabaseError(
                            f"another migration of {self._file} is under way", next="wait for it, and try again"
                        ) from error
                    time.sleep(0.05)
            yield

    def run(self, migration: Migration, limits: Limits, tell: Tell) -> Ran:
        """Run a migration's ``up`` and note it, both or neither."""
        note = (
            f"INSERT INTO {notes.TABLE} (filename, executed_at, checksum) VALUES (?, CURRENT_TIMESTAMP, ?)",
            (migration.name, migration.checksum),
        )
        return self._step(migration, migration.up, note, limits, tell)

    def take_back(self, migration: Migration, limits: Limits, tell: Tell) -> Ran:
        """Run a migration's ``down`` and forget it, both or neither."""
        assert migration.down is not None
        note = (
            f"DELETE FROM {notes.TABLE} WHERE filename IN (?, ?)",
            (migration.name, migration.name.removesuffix(".sql")),
        )
        return self._step(migration, migration.down, note, limits, tell)

    # ── migrations ─────────────────────────────────────────────────────────────────────────────

    def _step(
        self, migration: Migration, step: Step, note: tuple[str, tuple[str, ...]], limits: Limits, tell: Tell
    ) -> Ran:
        began = time.monotonic()
        for attempt in range(1, limits.tries + 1):
            try:
                with self._open(write=True, transaction=step.transaction, patience=limits.lock) as db:
                    _prepare(db)
                    if not step.transaction:
                        _begin(db, migration)
                    for number, (line, statement) in enumerate(statements(step)):
                        _execute(db, statement, f"{migration.name}:{line}", limits.statement)
                        if not step.transaction:
                            db.execute(f"UPDATE {notes.BEGUN} SET done = ?", (number + 1,))
                    if not step.transaction:
                        db.execute("BEGIN IMMEDIATE")
                    db.execute(*note)
                    db.execute(f"DELETE FROM {notes.BEGUN}")
                    if not step.transaction:
                        db.execute("COMMIT")
                return Ran(migration.name, time.monotonic() - began, ("the database, for writing",))
            except DatabaseError as error:
                if not _busy(error.__cause__) or attempt == limits.tries or not step.transaction:
                    raise
                tell(f"{migration.name}: the database is locked; again, {attempt + 1} of {limits.tries}")
                time.sleep(min(0.1 * 2**attempt, 2.0))
        raise AssertionError("the last attempt returns or raises")

    # ── the file ───────────────────────────────────────────────────────────────────────────────

    def _sibling(self, name: str) -> Path:
        return self._file.with_name(f".{self._file.name}.{name}")

    @contextmanager
    def _open(
        self, *, write: bool = False, transaction: bool = True, patience: float = PATIENCE
    ) -> Iterator[sqlite3.Connection]:
        """Open it for the block; with ``write`` in one transaction, unless that is not wanted."""
        with _told(self._file):
            if write:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            elif not self._file.exists():
                raise DatabaseError(f"there is no database {self._file}", need="the file that the service writes")
            db = sqlite3.connect(
                self._file, timeout=patience, isolation_level=None, check_same_thread=False, cached_statements=0
            )
            try:
                if write and transaction:
                    db.execute("BEGIN IMMEDIATE")
                yield db
                if write and transaction:
                    db.execute("COMMIT")
            finally:
                db.close()  # what is not committed is rolled back


_SUFFIXES = ("", "-wal", "-shm", "-journal")


def _remove(file: Path) -> None:
    for suffix in _SUFFIXES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Say in our words what SQLite could not do."""
    try:
        yield
    except sqlite3.Error as error:
        raise DatabaseError(f"{file}: {error}", need=_needed(error), next=f"sqlite3 {file} .schema") from error
    except OSError as error:
        raise DatabaseError(f"{file}: {error.strerror}", need="a place that can be written") from error


def _needed(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "") or ""
    if _busy(error):
        return "an application that lets go of its lock in time"
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return "room on the disk"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return "a database of SQLite that is whole"
    return ""


def _busy(error: BaseException | None) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _names(db: sqlite3.Connection, kinds: str = "'table'") -> list[str]:
    """Return the names of tables; of virtual ones and what they keep only the first."""
    rows = db.execute(
        f"SELECT name FROM sqlite_master WHERE type IN ({kinds}) AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
    )
    return [name for (name,) in rows]


def _contents(db: sqlite3.Connection) -> Contents:
    virtual = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'")}
    rows = {
        name: int(db.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0])
        for name in _names(db)
        if name not in virtual
    }
    (pages,), (size,) = db.execute("PRAGMA page_count").fetchone(), db.execute("PRAGMA page_size").fetchone()
    return Contents(rows, pages * size)


def _table(db: sqlite3.Connection, name: str) -> Table:
    columns = {
        column: Column(kind, bool(needed) and default is None and not key)
        for _, column, kind, needed, default, key in db.execute(f"PRAGMA table_info({_quoted(name)})")
    }
    rules = db.execute(
        "SELECT type || ' ' || name, sql FROM sqlite_master"
        " WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (name,),
    )
    return Table(columns, dict(rules.fetchall()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _columns_of_notes(db: sqlite3.Connection) -> list[str]:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({notes.TABLE})")]
    if not {"id", "filename", "executed_at"} <= set(columns):
        what, need = notes.not_ours(", ".join(columns))
        raise DatabaseError(what, need=need)
    return columns


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables of notes, or adopt the one that is there."""
    db.execute(
        f"CREATE TABLE IF NOT EXISTS {notes.TABLE} (id INTEGER PRIMARY KEY, filename TEXT NOT NULL UNIQUE,"
        " executed_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, checksum TEXT)"
    )
    if "checksum" not in _columns_of_notes(db):
        db.execute(f"ALTER TABLE {notes.TABLE} ADD COLUMN checksum TEXT")
    db.execute(f"CREATE TABLE IF NOT EXISTS {notes.BEGUN} (filename TEXT PRIMARY KEY, done INTEGER NOT NULL)")


def _begin(db: sqlite3.Connection, migration: Migration) -> None:
    db.execute(f"INSERT INTO {notes.BEGUN} VALUES (?, 0)", (migration.name,))


def statements(step: Step) -> Iterator[tuple[int, str]]:
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
        if _busy(error):
            raise
        raise DatabaseError(f"{where}: {error}", need="a statement that the data allows") from error
    finally:
        timer.cancel()
