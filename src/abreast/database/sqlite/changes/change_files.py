"""The files of a Litestream replica, and which of them a recovery needs.

::

    GENERATION/                     a replica of its own; the milliseconds since 1970 when it began
        ltx/LEVEL/FIRST-LAST.ltx    transactions, as hexadecimal numbers
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

FINE_WINDOW = 900
"""Seconds of which each can be recovered. Before them, each ``MERGE_INTERVAL`` can."""

MERGE_INTERVAL = 300
"""Seconds whose changes are merged into one file."""

_FILE_NAME = re.compile(r"(\d+)/ltx/(\d)/([0-9a-f]{16})-([0-9a-f]{16})\.ltx")
_STATE = re.compile(r"(\d+)-(\d+)")

SINGLE, MERGED, FULL = 0, 1, 9
"""Litestream's levels: the changes of about a second, those of a ``MERGE_INTERVAL``, and full copies."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND, SECOND = 1_000_000, 1_000_000_000
"""In nanoseconds."""


@dataclass(frozen=True, slots=True)
class ChangeFile:
    """A file with the transactions ``first`` to ``last`` of a generation. ``written``: in nanoseconds, the last's time.

    Each generation's first transaction is a full copy.
    """

    path: str
    generation: int
    level: int
    first: int
    last: int
    size: int
    written: int

    @classmethod
    def from_path(cls, path: str, size: int, written: int) -> "ChangeFile | None":
        """Return the file at ``path``, None if it is not a file of changes."""
        found = _FILE_NAME.fullmatch(path)
        if not found:
            return None
        generation, level, first, last = found.groups()
        return cls(path, int(generation), int(level), int(first, 16), int(last, 16), size, written)

    @classmethod
    def from_state(cls, path: str, state: str) -> "ChangeFile | None":
        """Return the file that was stored, None if it is not a file of changes."""
        found = _STATE.fullmatch(state)
        return cls.from_path(path, int(found[1]), int(found[2])) if found else None

    @property
    def state(self) -> str:
        """By which a change of the file is noticed, and its time is known where it is stored."""
        return f"{self.size}-{self.written}"


def find_files(folder: Path) -> Iterator[ChangeFile]:
    """Yield the complete files of all generations."""
    for found in folder.glob("*/ltx/*/*.ltx"):
        status = found.stat()
        file = ChangeFile.from_path(str(found.relative_to(folder)), status.st_size, status.st_mtime_ns)
        if file:
            yield file


def generations_of(files: Iterable[ChangeFile]) -> dict[int, list[ChangeFile]]:
    """Return the files of each generation that has a full copy, oldest first."""
    found: dict[int, list[ChangeFile]] = {}
    for file in sorted(files, key=lambda file: (file.generation, file.first, file.last)):
        found.setdefault(file.generation, []).append(file)
    return {generation: files for generation, files in found.items() if files[0].first == 1}


def beginning(files: Iterable[ChangeFile]) -> int:
    """Return the time, in nanoseconds, of a generation's first full copy: from then on it can be recovered."""
    return min(file.written for file in files if file.first == 1)


def earliest_moment(files: Iterable[ChangeFile]) -> datetime | None:
    """Return the earliest moment that can be recovered, None if there is no full copy."""
    begun = [beginning(generation) for generation in generations_of(files).values()]
    return _EPOCH + timedelta(milliseconds=min(begun) // MILLISECOND + 1) if begun else None


def nanoseconds(moment: datetime) -> int:
    """Return a moment as nanoseconds since 1970, the unit of ``written``."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def needed_files(files: Iterable[ChangeFile], now: int, keep: float) -> list[ChangeFile]:
    """Return the files that are needed to recover each moment of the last ``keep`` seconds."""
    oldest, fine = now - int(keep * SECOND), now - FINE_WINDOW * SECOND
    generations = list(generations_of(files).values())
    times = [*map(beginning, generations), now]
    needed = [files for files, end in zip(generations, times[1:], strict=True) if end > oldest]
    return [file for files in needed for file in _needed_of_generation(files, oldest, fine)]


def _needed_of_generation(files: Sequence[ChangeFile], oldest: int, fine: int) -> Iterator[ChangeFile]:
    """Yield the newest full copy from before ``oldest``, and what came after it.

    Merged files replace single ones, except those that reach beyond ``fine``: the single ones have its moments.
    """
    copies = [file for file in files if file.level == FULL] or files[:1]
    before = [file for file in copies if file.written <= oldest] or copies[:1]
    base = before[-1]
    merged = max((file.last for file in files if file.level == MERGED and file.written <= fine), default=0)
    yield base
    for file in files:
        if file.last > base.last and (file.level != SINGLE or file.last > merged):
            yield file


def files_to_read(files: Sequence[ChangeFile]) -> set[str]:
    """Return what Litestream reads of the last generation: the newest file of each level, and those to merge."""
    current = max((file.generation for file in files), default=0)
    files = sorted((file for file in files if file.generation == current), key=lambda file: file.last)
    merged = max((file.last for file in files if file.level == MERGED), default=0)
    newest = {file.level: file.path for file in files}
    return {*newest.values(), *(file.path for file in files if file.level == SINGLE and file.last > merged)}
