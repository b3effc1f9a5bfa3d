"""A program that writes a file of SQLite to its output, as it is at one moment while others write.

The online backup API (https://sqlite.org/backup.html) copies into a database whose file hands on what is written to it.
That needs a SQLite whose files can be made in Python, and so a process of its own: two that have a file open in one
process let go of each other's locks (https://sqlite.org/howtocorrupt.html, 2.2.1).
"""

import json
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

LOCK_BYTE_OFFSET = 1 << 30
"""Where the page lies that no database uses (https://sqlite.org/fileformat.html#the_lock_byte_page)."""

PageHandler = Callable[[bytes, int], None]


def dump(file: Path, timeout: float, into: IO[bytes]) -> DatabaseStats:
    """Write all of it, and return what it held; a file that is not there holds nothing.

    SQLite writes the first page last, since it counts the changes: a first pass is for that page alone.
    """
    name = str(file) if file.exists() else ":memory:"
    with closing(apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.set_busy_timeout(int(timeout * 1000))
        db.execute("BEGIN")  # what is counted is what is dumped
        contents = catalog.read_stats(db)
        if db.execute("PRAGMA journal_mode").fetchall() != [("delete",)]:
            _dump_pages(db, into)
        else:
            with tempfile.TemporaryFile(dir=file.parent) as copy:
                _dump_pages(db, copy)
                db.execute("COMMIT")  # in this mode writers wait for readers, and need not wait for a slow store
                copy.seek(0)
                shutil.copyfileobj(copy, into, CHUNK_SIZE)
    return contents


def _dump_pages(db: apsw.Connection, into: IO[bytes]) -> None:
    first_page = _FirstPageCapture()
    _for_each_page(db, first_page.handle_page)
    _for_each_page(db, _SequentialWriter(into, first_page.page).handle_page)


def _for_each_page(db: apsw.Connection, handle_page: PageHandler) -> None:
    """Let ``take`` have each page and where it lies."""
    vfs = _PageVfs(handle_page)
    with closing(apsw.Connection("pages", vfs=vfs.name)) as target:
        target.execute("PRAGMA journal_mode=OFF")
        target.execute("PRAGMA synchronous=OFF")
        with target.backup("main", db, "main") as backup:
            backup.step(-1)


class _FirstPageCapture:
    """Takes the first page, as it is when all are written."""

    page = b""

    def handle_page(self, page: bytes, offset: int) -> None:
        if not offset:
            self.page = page


class _SequentialWriter:
    """Hands pages on in the order of the file, of which the ``first`` is known; raises where they do not come so."""

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


class PageOrderError(Exception):
    """SQLite wrote a page twice, or asked for one again; what was handed on cannot be taken back."""


class _PageVfs(apsw.VFS):
    """Files of a database that is written once, from nothing (https://sqlite.org/vfs.html)."""

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
    """A file that begins empty, and of which no page is asked for again."""

    def __init__(self, handle_page: PageHandler) -> None:
        self._handle_page = handle_page
        self._empty = True

    def xRead(self, amount: int, offset: int) -> bytes:
        if not self._empty:
            raise PageOrderError(f"{amount} bytes at {offset} were asked for")
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
        """Nobody else has it."""

    def xUnlock(self, level: int) -> None:
        """Nobody else has it."""

    def xClose(self) -> None:
        """What takes the pages is closed by whoever opened it."""


def main() -> int:
    """Write the file that the arguments name, and say on the error output, as JSON, what it held or why not."""
    file, timeout = sys.argv[1:]
    try:
        with open(sys.stdout.fileno(), "wb", CHUNK_SIZE, closefd=False) as into:
            answer = asdict(dump(Path(file), float(timeout), into))
    except apsw.Error as error:
        answer = {"error": str(error), "code": _error_name(error)}
    except PageOrderError as error:
        answer = {"error": str(error), "code": ""}
    except OSError as error:
        answer = {"error": error.strerror or "", "code": "SQLITE_IOERR"}
    print(json.dumps(answer), file=sys.stderr)  # noqa: T201 (that is what this program is for)
    return int("error" in answer)


def _error_name(error: apsw.Error) -> str:
    """Return its name (https://sqlite.org/rescode.html), "" where SQLite itself had no error."""
    return str(apsw.mapping_result_codes.get(getattr(error, "extendedresult", 0) & 255, ""))


if __name__ == "__main__":
    sys.exit(main())
