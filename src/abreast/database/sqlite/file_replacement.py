"""A program that replaces the content of an SQLite file while applications have it open, and archives the old content.

The file is locked, then archived, then replaced, all under one lock. So whatever an application was told is stored is
either in the archive, or was written after the replacement.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from abreast.database.sqlite.apsw_program import LockedError, answer
from abreast.database.sqlite.database_file import remove_files
from abreast.machine.files import copy_content

RETRY_INTERVAL = 0.001
"""Seconds between attempts to lock. SQLite's own waits grow to 100 ms: busy writers would always be faster."""


def replace(file: Path, copy: Path, archive: Path, timeout: float) -> bool:
    """Archive the database ``file`` and give it the content of ``copy``, a database without users.

    Returns False, with nothing changed, if the file is not a valid database. Raises LockedError if it stays locked for
    ``timeout`` seconds.
    """
    remove_files(archive)
    existed = file.exists()
    try:
        with closing(apsw.Connection(str(file))) as target, closing(apsw.Connection(str(copy))) as source:
            target.set_busy_timeout(int(timeout * 1000))
            (is_wal,) = [mode == "wal" for (mode,) in target.execute("PRAGMA journal_mode")]
            if is_wal:
                _match_page_size(source, target)
            with _locked_backup(target, source, timeout) as backup:
                if existed:
                    _archive(file, archive, is_wal=is_wal)
                backup.step(-1)
    except (apsw.NotADBError, apsw.CorruptError):
        return False
    return True


def _match_page_size(copy: apsw.Connection, target: apsw.Connection) -> None:
    """Rewrite the copy with the target's page size, which cannot be changed in WAL mode."""
    ((page_size,),) = target.execute("PRAGMA page_size")
    if [(page_size,)] != copy.execute("PRAGMA page_size").fetchall():
        copy.execute(f"PRAGMA journal_mode=DELETE; PRAGMA page_size={page_size}; VACUUM").fetchall()


@contextmanager
def _locked_backup(target: apsw.Connection, source: apsw.Connection, timeout: float) -> Iterator[apsw.Backup]:
    """Lock the target with a backup into it that has copied nothing yet (https://sqlite.org/c3ref/backup_finish.html)."""
    deadline = time.monotonic() + timeout
    target.set_busy_timeout(0)
    with target.backup("main", source, "main") as backup:
        while True:
            try:
                backup.step(0)
                break
            except apsw.BusyError as error:
                if time.monotonic() > deadline:
                    raise LockedError("the database is locked") from error
                time.sleep(RETRY_INTERVAL)
        yield backup


def _archive(file: Path, archive: Path, *, is_wal: bool) -> None:
    """Copy the locked database. In WAL mode it can still be read; in the others the lock excludes readers too."""
    if is_wal:
        with closing(apsw.Connection(str(file))) as present, closing(apsw.Connection(str(archive))) as into:
            into.execute("PRAGMA synchronous=OFF")
            with into.backup("main", present, "main") as backup:
                backup.step(-1)
    else:
        _copy_bytes(file, archive)
    with archive.open("rb") as copied:
        os.fsync(copied.fileno())


def _copy_bytes(file: Path, archive: Path) -> None:
    """Copy a file that is locked by this process, and leave it open: closing it would release the lock (fcntl(2))."""
    source = os.open(file, os.O_RDONLY)
    with archive.open("wb") as into:
        copy_content(source, into.fileno())


def main() -> int:
    """Replace the file named by the arguments; print whether that was done, or an error."""
    file, copy, archive, timeout = sys.argv[1:]
    return answer(lambda: {"replaced": replace(Path(file), Path(copy), Path(archive), float(timeout))})


if __name__ == "__main__":
    sys.exit(main())
