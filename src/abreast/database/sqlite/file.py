"""A file of SQLite: opened, told of in words, taken away with all that lies beside it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abreast.core.errors import DatabaseError

SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Endings of the files of one database."""


@contextmanager
def reading(file: Path, patience: float) -> Iterator[sqlite3.Connection]:
    """Open a file for the block; one that is not there holds nothing, and is not made."""
    with told(file):
        db = _connected(file if file.exists() else ":memory:", patience)
        try:
            yield db
        finally:
            db.close()


@contextmanager
def writing(file: Path, patience: float, *, transaction: bool = True) -> Iterator[sqlite3.Connection]:
    """Open a file for the block, in one transaction unless that is not wanted; it is made where it is not there."""
    with told(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        db = _connected(file, patience)
        try:
            if transaction:
                db.execute("BEGIN IMMEDIATE")
            yield db
            if transaction:
                db.execute("COMMIT")
        finally:
            db.close()  # what is not committed is rolled back


def _connected(place: Path | str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(place, timeout=patience, isolation_level=None, check_same_thread=False, cached_statements=0)


def removed(file: Path) -> None:
    """Take a database away; fine where there is none."""
    for suffix in SUFFIXES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Say in our words what SQLite, or the disk, could not do."""
    try:
        yield
    except sqlite3.Error as error:
        raise failed(file, str(error), getattr(error, "sqlite_errorname", "") or "") from error
    except OSError as error:
        raise DatabaseError(f"{file}: {error.strerror}", need="room, and a place that can be written") from error


def failed(file: Path, why: str, code: str) -> DatabaseError:
    """Return what SQLite said, with what it would have needed; ``code`` as it is called at https://sqlite.org/rescode.html."""
    need = next((need for start, need in _NEEDED.items() if code.startswith(start)), "")
    return DatabaseError(f"{file}: {why}", need=need, next=f"sqlite3 {file} .schema")


def busy(error: BaseException | None) -> bool:
    """Tell whether somebody's lock was in the way."""
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


LET_GO = "an application that lets go of its lock in time"
_WHOLE = "a database of SQLite that is whole"
_ROOM = "room on the disk"
_NEEDED = {
    "SQLITE_BUSY": LET_GO,
    "SQLITE_LOCKED": LET_GO,
    "SQLITE_FULL": _ROOM,
    "SQLITE_IOERR": _ROOM,
    "SQLITE_NOTADB": _WHOLE,
    "SQLITE_CORRUPT": _WHOLE,
}
