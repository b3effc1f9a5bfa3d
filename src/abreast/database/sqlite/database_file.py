"""Opens and removes SQLite database files, and translates their errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abreast.core.errors import DatabaseError

FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Suffixes of the files of one database."""


@contextmanager
def open_for_reading(file: Path, timeout: float) -> Iterator[sqlite3.Connection]:
    """Open a database for the block; a missing file reads as empty and is not created."""
    with translate_errors(file):
        db = _connect(file if file.exists() else ":memory:", timeout)
        try:
            yield db
        finally:
            db.close()


@contextmanager
def open_for_writing(file: Path, timeout: float, *, transaction: bool = True) -> Iterator[sqlite3.Connection]:
    """Open a database for the block, created if missing; by default in one write transaction."""
    with translate_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        db = _connect(file, timeout)
        try:
            if transaction:
                db.execute("BEGIN IMMEDIATE")
            yield db
            if transaction:
                db.execute("COMMIT")
        finally:
            db.close()  # rolls back an uncommitted transaction


def _connect(path: Path | str, timeout: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=0)
    db.text_factory = lambda text: text.decode(errors="replace")  # a damaged database's names are any bytes
    return db


def remove_files(file: Path) -> None:
    """Remove a database's files, if they exist."""
    for suffix in FILE_SUFFIXES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def translate_errors(file: Path) -> Iterator[None]:
    """Raise DatabaseError for errors of SQLite and of the disk."""
    try:
        yield
    except sqlite3.Error as error:
        raise sqlite_error(file, str(error), getattr(error, "sqlite_errorname", "") or "") from error
    except UnicodeDecodeError as error:  # the sqlite3 module fails on a message that quotes a damaged schema
        raise sqlite_error(file, "malformed database schema", "SQLITE_CORRUPT") from error
    except OSError as error:
        raise DatabaseError(f"{file}: {error.strerror}", need="free disk space and write permission") from error


def sqlite_error(file: Path, reason: str, code: str) -> DatabaseError:
    """Return the error for SQLite's message; ``code`` is a name from https://sqlite.org/rescode.html."""
    need = next((need for start, need in _NEED_BY_CODE.items() if code.startswith(start)), "")
    return DatabaseError(f"{file}: {reason}", need=need, next=f"sqlite3 {file} .schema")


def is_lock_error(error: BaseException | None) -> bool:
    """Return whether an error means that the database is locked."""
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


NEED_LOCK_RELEASED = "a lock that is released within the timeout: look for long transactions"
_NEED_INTACT_DATABASE = "an intact SQLite database"
_NEED_DISK_SPACE = "free disk space"
_NEED_BY_CODE = {
    "SQLITE_BUSY": NEED_LOCK_RELEASED,
    "SQLITE_LOCKED": NEED_LOCK_RELEASED,
    "SQLITE_FULL": _NEED_DISK_SPACE,
    "SQLITE_IOERR": _NEED_DISK_SPACE,
    "SQLITE_NOTADB": _NEED_INTACT_DATABASE,
    "SQLITE_CORRUPT": _NEED_INTACT_DATABASE,
}
