"""The folder that pg_receivewal writes the log to, and the pieces of the segment that it writes at the moment."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from abreast.database.postgres.changes.stream_files import (
    HISTORY,
    PARTIAL_SUFFIX,
    PIECES,
    SEGMENT,
    WAL,
    Piece,
    next_piece,
)

PAGE_SIZE = 8192
"""Of the log. Each page that is written begins with a header that is not zero."""


class WalFolder:
    """The log of one generation, in a folder of its own."""

    def __init__(self, generation: Path) -> None:
        self.path = generation / WAL
        self._pieces = generation / PIECES

    def create(self) -> None:
        """Create the folders, if they do not exist."""
        for folder in (self.path, self._pieces):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def prepare(self, segment_size: int) -> None:
        """Empty a segment that a killed pg_receivewal was about to create: it would refuse its size."""
        for partial in self._partials():
            if partial.stat().st_size != segment_size:
                os.truncate(partial, 0)

    def timelines(self) -> set[int]:
        """Return the timelines that the log is of."""
        return {int(name[:8], 16) for name in _names(self.path) if SEGMENT.match(name) or HISTORY.fullmatch(name)}

    def next_segment(self, segment_size: int) -> int | None:
        """Return the number of the segment that pg_receivewal goes on with, None if there is none yet.

        It goes on at the beginning of the unfinished one, or behind the newest finished one.
        """
        newest = max((name for name in _names(self.path) if SEGMENT.match(name)), default="")
        if not newest:
            return None
        return segment_number(newest, segment_size) + (not newest.endswith(PARTIAL_SUFFIX))

    def newest_finished(self) -> str:
        """Return the newest segment that is finished, "" if there is none."""
        return max((name for name in _names(self.path) if SEGMENT.fullmatch(name)), default="")

    def write_piece(self) -> None:
        """Write what was added to the segment that is being written to a piece; delete the pieces of finished ones."""
        pieces = self._all_pieces()
        for partial in self._partials():
            segment = partial.name.removesuffix(PARTIAL_SUFFIX)
            own = [piece for piece in pieces if piece.segment == segment]
            with suppress(FileNotFoundError):  # finished meanwhile
                self._continue(partial, segment, own)
        for piece in pieces:
            if (self.path / piece.segment).exists():
                (self._pieces / piece.name).unlink(missing_ok=True)

    def _continue(self, partial: Path, segment: str, pieces: Sequence[Piece]) -> None:
        with partial.open("rb") as source:
            piece = next_piece(pieces, segment, _written(source.fileno()))
            if piece is None:
                return
            source.seek(piece.start)
            content = source.read(piece.end - piece.start)
        unfinished = self._pieces / "unfinished"
        unfinished.write_bytes(content)
        unfinished.rename(self._pieces / piece.name)
        for old in pieces:
            if old.start >= piece.start:
                (self._pieces / old.name).unlink()

    def _all_pieces(self) -> Sequence[Piece]:
        return sorted(Piece.from_name(name) for name in _names(self._pieces) if SEGMENT.match(name))

    def _partials(self) -> Iterator[Path]:
        return self.path.glob(f"*{PARTIAL_SUFFIX}")


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.exists() else []  # noqa: PTH208 (names, not paths)


def segment_number(name: str, segment_size: int) -> int:
    """Return the number that a segment's name stands for, counted from the log's beginning."""
    return int(name[8:16], 16) * ((1 << 32) // segment_size) + int(name[16:24], 16)


def _written(segment: int) -> int:
    """Return how many bytes of an unfinished segment are written: those until the last that is not zero.

    The rest is zeros, since pg_receivewal fills a segment with them when it creates it. It writes from the beginning to
    the end, so a search by halves finds the last page that has a header.
    """
    low, high = 0, os.fstat(segment).st_size // PAGE_SIZE
    while low < high:
        middle = (low + high) // 2
        if any(os.pread(segment, 8, middle * PAGE_SIZE)):
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return 0
    last = (low - 1) * PAGE_SIZE
    return last + len(os.pread(segment, PAGE_SIZE, last).rstrip(b"\0"))


def assemble(pieces: Path, segment: str, into: Path, size: int) -> None:
    """Write a segment of ``size`` bytes from its pieces, as far as they go without a gap; the rest is zeros."""
    own = sorted(Piece.from_name(name) for name in _names(pieces) if name.startswith(f"{segment}."))
    with into.open("wb") as target:
        reached = 0
        for piece in own:
            if piece.start > reached:
                break
            reached = max(reached, piece.end)
            target.seek(piece.start)
            with (pieces / piece.name).open("rb") as source:
                shutil.copyfileobj(source, target)
        target.truncate(size)
