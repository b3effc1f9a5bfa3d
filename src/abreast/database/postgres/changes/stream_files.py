"""The names of a change stream's files, and which of them a recovery needs.

::

    GENERATION/                     a server's history without a gap: when it began, the server's identifier, timeline
        base-TIME-SEGMENT/          a base backup: when it ended by the server's clock, the first segment it needs
            base.tar
            backup_manifest
        wal/SEGMENT                 a finished segment of the write-ahead log
        wal/TIMELINE.history
        pieces/SEGMENT.FROM-TO      bytes of the segment that is being written; together they are its beginning

All that is needed to choose files is in their names: what is stored needs no other record.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

WAL, PIECES, TAR, MANIFEST = "wal", "pieces", "base.tar", "backup_manifest"
UNFINISHED_BASE = "unfinished-base"
"""The folder of a base backup that is being taken."""
PARTIAL_SUFFIX = ".partial"
"""Of the segment that pg_receivewal writes."""

SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_TIME = "%Y%m%dT%H%M%S%fZ"
_GENERATION = re.compile(r"\d{8}T\d{12}Z-(\d+)-(\d+)")
_BASE = re.compile(
    rf"(?P<generation>{_GENERATION.pattern})/base-(?P<ended>\d{{8}}T\d{{12}}Z)-(?P<first>[0-9A-F]{{24}})"
)
_LOG = re.compile(
    rf"(?P<generation>{_GENERATION.pattern})/"
    rf"(wal/(?P<segment>{SEGMENT.pattern})|wal/{HISTORY.pattern}|pieces/(?P<started>{SEGMENT.pattern})\.\d+-\d+)"
)


def generation_name(began: datetime, system: str, timeline: int) -> str:
    """Return the name of a new generation."""
    return f"{began.astimezone(UTC).strftime(_TIME)}-{system}-{timeline}"


def server_of(generation: str) -> tuple[str, int] | None:
    """Return a generation's system identifier and timeline, None if it is not the name of one."""
    found = _GENERATION.fullmatch(generation)
    return (found[1], int(found[2])) if found else None


class Base(NamedTuple):
    """A base backup. ``folder`` is its path, ``first_segment`` what its recovery begins with."""

    ended: datetime
    generation: str
    first_segment: str
    folder: str

    @classmethod
    def from_folder(cls, folder: str) -> "Base | None":
        """Return the base backup of a folder, None if it is not one's name."""
        found = _BASE.fullmatch(folder)
        if found is None:
            return None
        ended = datetime.strptime(found["ended"], _TIME).replace(tzinfo=UTC)
        return cls(ended, found["generation"], found["first"], folder)


def base_name(ended: datetime, first_segment: str) -> str:
    """Return the name of a base backup's folder."""
    return f"base-{ended.astimezone(UTC).strftime(_TIME)}-{first_segment}"


def bases_in(paths: Iterable[str]) -> Sequence[Base]:
    """Return the base backups that are among the files, oldest first."""
    folders = (path.removesuffix(f"/{TAR}") for path in paths if path.endswith(f"/{TAR}"))
    return sorted(base for base in map(Base.from_folder, folders) if base)


def is_of_stream(path: str) -> bool:
    """Whether a file is one that a recovery can need: not an unfinished base backup or segment."""
    folder, _, _ = path.rpartition("/")
    return _BASE.fullmatch(folder) is not None or _LOG.fullmatch(path) is not None


def needed(paths: Collection[str], stored: Collection[str], since: datetime, current: str) -> set[str]:
    """Return which of ``paths`` are needed to recover each moment from ``since`` on.

    Only a base backup that is ``stored`` makes older ones unneeded. The log of the ``current`` generation is needed
    from its beginning until there is a base backup.
    """
    bases = bases_in(paths)
    early = [base for base in bases if base.ended <= since]
    stored_early = [base for base in early if f"{base.folder}/{TAR}" in stored]
    first = min(stored_early[-1:] or early[-1:] or bases[:1], default=None)
    wanted = [base for base in bases if first and base >= first]
    folders = {base.folder for base in wanted}
    first_segments = {base.generation: base.first_segment for base in reversed(wanted)}
    first_segments.setdefault(current, "")
    return {path for path in paths if path.rpartition("/")[0] in folders or _is_log_since(path, first_segments, paths)}


def _is_log_since(path: str, first_segments: dict[str, str], paths: Collection[str]) -> bool:
    """Whether a file is of the log, after its generation's first needed segment, and not replaced by a whole one."""
    found = _LOG.fullmatch(path)
    if found is None or found["generation"] not in first_segments:
        return False
    segment = found["segment"] or found["started"]
    if segment is None:
        return True
    is_replaced = bool(found["started"]) and f"{found['generation']}/{WAL}/{segment}" in paths
    return segment >= first_segments[found["generation"]] and not is_replaced


class Piece(NamedTuple):
    """Bytes of a segment, from ``start`` to ``end``."""

    segment: str
    start: int
    end: int

    @classmethod
    def from_name(cls, name: str) -> "Piece":
        """Return the piece called ``name``."""
        segment, _, extent = name.partition(".")
        start, _, end = extent.partition("-")
        return cls(segment, int(start), int(end))

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.segment}.{self.start}-{self.end}"


def next_piece(pieces: Sequence[Piece], segment: str, end: int) -> Piece | None:
    """Return the piece that continues ``pieces`` until ``end``, None if nothing is new.

    It takes in earlier ones that are not twice as long. So each is at least twice as long as the next, and a segment
    is stored some times as a whole, however often it grows.
    """
    start = pieces[-1].end if pieces else 0
    if end <= start:
        return None
    for piece in reversed(pieces):
        if piece.end - piece.start >= 2 * (end - start):
            break
        start = piece.start
    return Piece(segment, start, end)
