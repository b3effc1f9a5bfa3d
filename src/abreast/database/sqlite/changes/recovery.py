"""Recovers an SQLite database as it was at a moment, from the files of a Litestream replica."""

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from abreast.core.errors import DatabaseError
from abreast.database.dump_process import run_program
from abreast.database.sqlite.changes.change_files import (
    MILLISECOND,
    ChangeFile,
    beginning,
    earliest_moment,
    find_files,
    generations_of,
    nanoseconds,
)
from abreast.database.sqlite.changes.litestream import ENVIRONMENT, find_program, write_configuration

_MAGIC, _TIME_FIELD, _HEADER_SIZE = b"LTX1", slice(32, 40), 100
"""The header of a file (https://github.com/superfly/ltx). The time is in milliseconds."""

_NEED_FILES = "the files of the stream, complete and unchanged"


def recover(files: Path, moment: datetime | None, into: Path) -> None:
    """Write the database as it was at a moment, by the generation that ran then or last before."""
    program = find_program()
    generation = _generation_at(moment, [_restore_time(files, file) for file in find_files(files)])
    configuration = write_configuration(
        files, {"path": str(into.resolve())}, files / str(generation), {"logging": {"level": "error", "stderr": True}}
    )
    target = ["-timestamp", moment.astimezone(UTC).isoformat()] if moment else []
    command = [program, "restore", *configuration, *target, "-force", "-o", str(into), str(into.resolve())]
    code, said = run_program(command, env=ENVIRONMENT)
    if code:
        raise DatabaseError(f"the changes cannot be recovered: {said or f'signal {-code}'}", need=_NEED_FILES)


def _generation_at(moment: datetime | None, files: Iterable[ChangeFile]) -> int:
    """Return the last generation that began before a moment. Raises DatabaseError if there is none, or it has gaps."""
    generations = generations_of(files)
    if not generations:
        raise DatabaseError("the files have no full copy of the database", need=_NEED_FILES)
    begun = {number: beginning(files) for number, files in generations.items()}
    before = [number for number in begun if not moment or begun[number] < nanoseconds(moment)]
    if not before:
        earliest = earliest_moment(file for each in generations.values() for file in each)
        assert earliest
        raise DatabaseError(
            f"the changes do not reach back to {moment}", need=f"{earliest.isoformat(' ', 'milliseconds')}, or later"
        )
    _require_unbroken(generations[before[-1]])
    return before[-1]


def _require_unbroken(files: Iterable[ChangeFile]) -> None:
    """Raise DatabaseError if transactions are missing: Litestream would stop before them, and say nothing."""
    reached = 0
    for file in files:
        if file.first > reached + 1:
            raise DatabaseError(f"the changes before {file.path} are missing", need=_NEED_FILES)
        reached = max(reached, file.last)


def _restore_time(folder: Path, file: ChangeFile) -> ChangeFile:
    """Set a file's time, by which Litestream goes, to that in its header: a store does not keep it."""
    path = folder / file.path
    with path.open("rb") as content:
        header = content.read(_HEADER_SIZE)
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise DatabaseError(f"{file.path} is damaged", need=_NEED_FILES)
    written = int.from_bytes(header[_TIME_FIELD], "big") * MILLISECOND
    os.utime(path, ns=(written, written))
    return replace(file, written=written)
