"""A program that writes a consistent dump of an SQLite file to its standard output, while others write.

The online backup API (https://sqlite.org/backup.html) copies into a database whose virtual file streams the pages.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import apsw

from abreast.database.dump_process import CHUNK_SIZE
from abreast.database.interface import DatabaseStats
from abreast.database.sqlite import catalog
from abreast.database.sqlite.apsw_program import ProgramError, answer

LOCK_BYTE_OFFSET = 1 << 30
"""Offset of the page that no database uses (https://sqlite.org/fileformat.html#the_lock_byte_page)."""

PageHandler = Callable[[bytes, int], None]


def dump(file: Path, timeout: float, into: IO[bytes]) -> DatabaseStats:
    """Write the database to ``into`` and return its rows and size; a missing file reads as empty.

    SQLite writes the first page last, because it counts the changes. So a first pass reads only that page.
    """
    name = str(file) if file.exists() else ":memory:"
    with closing(apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.set_busy_timeout(int(timeout * 1000))
        db.execute("BEGIN")  # count and dump the same snapshot
        stats = catalog.read_stats(db)
        if db.execute("PRAGMA journal_mode").fetchall() != [("delete",)]:
            _dump_pages(db, into)
        else:
            with tempfile.TemporaryFile(dir=file.parent) as copy:
                _dump_pages(db, copy)
                db.execute("COMMIT")  # readers block writers in this mode: do not hold them up for a slow store
                copy.seek(0)
                shutil.copyfileobj(copy, into, CHUNK_SIZE)
    return stats


def _dump_pages(db: apsw.Connection, into: IO[bytes]) -> None:
    first_page = _FirstPageCapture()
    _for_each_page(db, first_page.handle_page)
    _for_each_page(db, _SequentialWriter(into, first_page.page).handle_page)


def _for_each_page(db: apsw.Connection, handle_page: PageHandler) -> None:
    """Call ``handle_page`` with each page and its offset."""
    vfs = _PageVfs(handle_page)
    with closing(apsw.Connection("pages", vfs=vfs.name)) as target:
        target.execute("PRAGMA journal_mode=OFF")
        target.execute("PRAGMA synchronous=OFF")
        with target.backup("main", db, "main") as backup:
            backup.step(-1)


class _FirstPageCapture:
    """Keeps the first page in its final version."""

    page = b""

    def handle_page(self, page: bytes, offset: int) -> None:
        if not offset:
            self.page = page


class _SequentialWriter:
    """Writes pages in file order after the known ``first_page``; raises PageOrderError if they are out of order."""

    def __init__(self, into: IO[bytes], first_page: bytes) -> None:
        self._into = into
        self._first_page = first_page
        self._next_offset = len(first_page)
        into.write(first_page)

    def handle_page(self, page: bytes, offset: int) -> None:
        if offset > self._next_offset == LOCK_BYTE_OFFSET:
            self._write(bytes(len(page)))
        if offset == self._next_offset:
            self._write(page)
        elif offset or page != self._first_page:
            raise PageOrderError(f"page at {offset} instead of {self._next_offset}")

    def _write(self, page: bytes) -> None:
        self._into.write(page)
        self._next_offset += len(page)


class PageOrderError(ProgramError):
    """SQLite rewrote a page or read one back, but pages are streamed and cannot be changed."""


class _PageVfs(apsw.VFS):
    """A virtual file system for one database that is written once (https://sqlite.org/vfs.html)."""

    name = "abreast-pages"

    def __init__(self, handle_page: PageHandler) -> None:
        super().__init__(self.name, "")
        self._handle_page = handle_page

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: ANN401, ARG002
        flags[1] = flags[0]
        return _PageFile(self._handle_page)

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: ARG002
        return False


class _PageFile:
    """A write-only file that starts empty."""

    def __init__(self, handle_page: PageHandler) -> None:
        self._handle_page = handle_page
        self._empty = True

    def xRead(self, amount: int, offset: int) -> bytes:
        if not self._empty:
            raise PageOrderError(f"SQLite read {amount} bytes back at {offset}")
        return b""

    def xWrite(self, data: bytes, offset: int) -> None:
        self._empty = False
        self._handle_page(data, offset)

    def xFileSize(self) -> int:
        return 0

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: ARG002
        return False

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xSectorSize(self) -> int:
        return 4096

    def xCheckReservedLock(self) -> bool:
        return False

    def xLock(self, level: int) -> None:
        """Do nothing: only this connection has the file."""

    def xUnlock(self, level: int) -> None:
        """Do nothing: only this connection has the file."""

    def xClose(self) -> None:
        """Do nothing: the caller closes the output."""


def main() -> int:
    """Dump the file named by the arguments; print its stats or an error."""
    file, timeout = sys.argv[1:]

    def work() -> dict[str, object]:
        with open(sys.stdout.fileno(), "wb", CHUNK_SIZE, closefd=False) as into:
            return asdict(dump(Path(file), float(timeout), into))

    return answer(work)


if __name__ == "__main__":
    sys.exit(main())
