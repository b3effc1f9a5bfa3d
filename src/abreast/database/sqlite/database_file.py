"""A file of SQLite: opened, told of in words, taken away with all that lies beside it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abreast.core.errors import DatabaseError

FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Endings of the files of one database."""


@contextmanager
def open_for_reading(file: Path, timeout: float) -> Iterator[sqlite3.Connection]:
    """Open a file for the block; one that is not there holds nothing, and is not made."""
    with translate_errors(file):
        db = _connect(file if file.exists() else ":memory:", timeout)
        try:
            yield db
        finally:
            db.close()


@contextmanager
def open_for_writing(file: Path, timeout: float, *, transaction: bool = True) -> Iterator[sqlite3.Connection]:
    """Open a file for the block, in one transaction unless that is not wanted; it is made where it is not there."""
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
            db.close()  # what is not committed is rolled back


def _connect(path: Path | str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=0)


def remove_files(file: Path) -> None:
    """Take a database away; fine where there is none."""
    for suffix in FILE_SUFFIXES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def translate_errors(file: Path) -> Iterator[None]:
    """Say in our words what SQLite, or the disk, could not do."""
    try:
        yield
    except sqlite3.Error as error:
        raise sqlite_error(file, str(error), getattr(error, "sqlite_errorname", "") or "") from error
    except OSError as error:
        raise DatabaseError(f"{file}: {error.strerror}", need="room, and a place that can be written") from error


def sqlite_error(file: Path, reason: str, code: str) -> DatabaseError:
    """Return what SQLite said, with what it would have needed; ``code`` as it is called at https://sqlite.org/rescode.html."""
    need = next((need for start, need in _NEED_BY_CODE.items() if code.startswith(start)), "")
    return DatabaseError(f"{file}: {reason}", need=need, next=f"sqlite3 {file} .schema")


def is_lock_error(error: BaseException | None) -> bool:
    """Tell whether somebody's lock was in the way."""
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


NEED_LOCK_RELEASED = "an application that lets go of its lock in time"
_NEED_INTACT_DATABASE = "a database of SQLite that is whole"
_NEED_DISK_SPACE = "room on the disk"
_NEED_BY_CODE = {
    "SQLITE_BUSY": NEED_LOCK_RELEASED,
    "SQLITE_LOCKED": NEED_LOCK_RELEASED,
    "SQLITE_FULL": _NEED_DISK_SPACE,
    "SQLITE_IOERR": _NEED_DISK_SPACE,
    "SQLITE_NOTADB": _NEED_INTACT_DATABASE,
    "SQLITE_CORRUPT": _NEED_INTACT_DATABASE,
}
