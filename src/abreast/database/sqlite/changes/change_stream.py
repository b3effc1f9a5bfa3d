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
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from abreast.core.errors import DatabaseError
from abreast.database.change_stream import ChangeStream, StreamedFile
from abreast.database.sqlite.changes.change_files import (
    MERGE_INTERVAL,
    MILLISECOND,
    ChangeFile,
    earliest_moment,
    files_to_read,
    find_files,
    needed_files,
)
from abreast.database.sqlite.changes.litestream import ENVIRONMENT, find_program, write_configuration
from abreast.database.sqlite.database_file import translate_errors

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
        program = find_program()
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
        local = {file.path: file for file in find_files(self._folder)}
        elsewhere = [ChangeFile.from_state(path, state) for path, state in stored.items() if path not in local]
        needed = needed_files([*local.values(), *filter(None, elsewhere)], time.time_ns(), self._keep)
        self._unneeded = local.keys() - {file.path for file in needed}
        return {file.path: StreamedFile(file.state, file.path in local) for file in needed}

    def earliest_moment(self, stored: Mapping[str, str]) -> datetime | None:
        """Return when the first full copy that is stored was made."""
        return earliest_moment(filter(None, (ChangeFile.from_state(path, state) for path, state in stored.items())))

    def forget_local(self, stored: Collection[str]) -> None:
        """Delete files that are stored, or were not needed at the last look, except those that Litestream reads."""
        local = list(find_files(self._folder))
        read = files_to_read(local)
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
        configuration = write_configuration(
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
                env=ENVIRONMENT,
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
        generation = self._folder / str(max(time.time_ns() // MILLISECOND, latest + 1))
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
