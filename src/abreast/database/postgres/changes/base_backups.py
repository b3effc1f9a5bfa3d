"""Base backups by pg_basebackup (https://www.postgresql.org/docs/current/app-pgbasebackup.html), in the background."""

import shutil
import signal
import tarfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from abreast.core.errors import AbreastError, DatabaseError
from abreast.database.postgres.changes import replication
from abreast.database.postgres.changes.stream_files import TAR, UNFINISHED_BASE, Base, base_name
from abreast.database.postgres.client import client_environment
from abreast.machine.tethered_program import TetheredProgram

MAX_AGE = timedelta(days=1)
"""The age of the newest base backup at which another one is taken. A recovery replays the log of that time."""

POLL_INTERVAL = 0.2
"""Seconds between two looks whether a base backup is due."""

RETRY_INTERVAL = 30.0
"""Seconds until one that failed is taken again."""

STOP_PATIENCE = 5.0


class BaseBackups:
    """Takes base backups into ``generation``, a folder, one at a time. ``is_ready``: whether the log is received.

    A base backup is of use only if the log is received since before it began.
    """

    def __init__(self, url: str, programs: Path, generation: Path, is_ready: Callable[[], bool]) -> None:
        self._url, self._programs, self._generation, self._is_ready = url, programs, generation, is_ready
        self._failure: AbreastError | None = None
        self._program: TetheredProgram | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to take base backups. What a killed process left of one is deleted."""
        shutil.rmtree(self._generation / UNFINISHED_BASE, ignore_errors=True)
        self._thread.start()

    def check(self) -> None:
        """Raise DatabaseError if the latest base backup failed. It is tried again by itself."""
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Stop, also in the middle of a base backup."""
        self._stopped.set()
        while self._thread.is_alive():
            if self._program:
                self._program.stop(signal.SIGTERM, STOP_PATIENCE)
            self._thread.join(POLL_INTERVAL)

    def _run(self) -> None:
        while not self._stopped.wait(RETRY_INTERVAL if self._failure else POLL_INTERVAL):
            try:
                if self._is_due() and self._is_ready():
                    self._take()
                self._failure = None
            except AbreastError as error:
                self._failure = error
            except OSError as error:
                self._failure = DatabaseError(f"the base backup failed: {error}", need="space and rights in its folder")

    def _is_due(self) -> bool:
        folders = (f"{self._generation.name}/{one.name}" for one in self._generation.iterdir())
        ends = [base.ended for base in map(Base.from_folder, folders) if base]
        return not ends or datetime.now(UTC) - max(ends) > MAX_AGE

    def _take(self) -> None:
        unfinished = self._generation / UNFINISHED_BASE
        shutil.rmtree(unfinished, ignore_errors=True)
        self._program = TetheredProgram(
            [str(self._programs / "pg_basebackup"), "--no-password", "--format=tar", "--wal-method=none",
             "--checkpoint=fast", "--label=abreast", "--pgdata", str(unfinished)],
            env=client_environment(self._url),
        )  # fmt: skip
        code = self._program.wait()
        if self._stopped.is_set():
            return
        if code:
            raise DatabaseError(
                f"the base backup failed: {self._program.complaint}",
                need="a role with REPLICATION, a free one of max_wal_senders, and space in the folder",
                next="abreast doctor",
            )
        finished = base_name(replication.server_time(self._url), _first_segment(unfinished / TAR))
        unfinished.rename(self._generation / finished)


def _first_segment(tar: Path) -> str:
    """Return the first segment that a base backup needs, from its label, the first file in it."""
    with tarfile.open(tar) as members:
        label = members.extractfile(next(member for member in members if member.name == "backup_label"))
        assert label
        start = label.readline().decode()  # START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
    return start.rpartition("file ")[2].strip().rstrip(")")
