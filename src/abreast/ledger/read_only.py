"""Reads a ledger where nothing can be written: on a read-only or full disk, or in a folder of somebody else."""

import os
import sqlite3

_NOTHING_WRITABLE = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
)


def connect_read_only(file: str) -> sqlite3.Connection:
    """Open an SQLite file for reading. Raises sqlite3.Error if it cannot be read.

    Readers of a file in WAL mode share its index, ``-shm``, and make it if nobody has (https://sqlite.org/wal.html).
    Where it is missing and cannot be made, nobody writes either. So the log is then read with an index in memory and
    without locks; and if there is no log, the file is as it will stay.
    """
    try:
        return _connect(file, "mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NOTHING_WRITABLE:
            raise
    if os.path.exists(f"{file}-wal"):  # noqa: PTH110 (pathlib is slow to import)
        return _connect(file, "mode=ro&vfs=unix-none", "PRAGMA locking_mode=EXCLUSIVE")
    return _connect(file, "mode=ro&immutable=1")


def _connect(file: str, options: str, *settings: str) -> sqlite3.Connection:
    path = file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    database = sqlite3.connect(
        f"file:{path}?{options}", uri=True, timeout=30, isolation_level=None, check_same_thread=False
    )
    try:
        for statement in (*settings, "SELECT count(*) FROM sqlite_master"):  # the second opens the log
            database.execute(statement).fetchall()
    except BaseException:
        database.close()
        raise
    return database
