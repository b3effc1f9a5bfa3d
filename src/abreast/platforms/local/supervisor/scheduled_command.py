"""The process of a scheduled command: starts it at the times of its schedule while its version is live.

It runs as an instance of the supervisor, with the variables of the service, so that no secret is on disk.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from abreast.machine.cron_schedule import CronSchedule
from abreast.machine.file_lock import FileLock
from abreast.platforms.local.router.files import read_live_target
from abreast.platforms.local.supervisor.client import ROUTER, SCHEDULES_FOLDER
from abreast.platforms.local.supervisor.schedule_record import CommandRun, ScheduleRecord, next_due

LONGEST_SLEEP = 1.0
"""Seconds after which it looks again: traffic may have switched, or the clock was set."""


class ScheduledCommand:
    """Runs one version's command. ``home`` is the supervisor's; ``clock`` returns the time in UTC."""

    def __init__(
        self, home: Path, service: str, version: str, schedule: str, command: str, clock: Callable[[], datetime]
    ) -> None:
        self._router = home / ROUTER
        self._service, self._version = service, version
        self._schedule, self._command = schedule, command
        self._clock = clock
        folder = home / SCHEDULES_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._record_file = folder / f"{service}.json"
        self._lock_file = folder / f"{service}.lock"
        self._stopping = self._idle = False

    def run(self) -> None:
        """Run until SIGTERM. A command that runs by then gets the same signal, and is waited for."""
        signal.signal(signal.SIGTERM, self._on_stop)
        while not self._stopping:
            self._sleep(self._run_if_due())

    def _on_stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a signal handler)
        self._stopping = True
        if self._idle:
            sys.exit(0)

    def _sleep(self, seconds: float) -> None:
        self._idle = True
        if not self._stopping:
            time.sleep(min(max(seconds, 0.0), LONGEST_SLEEP))
        self._idle = False

    def _run_if_due(self) -> float:
        """Run the command if it is due and its version is live. Returns the seconds until it is due next."""
        if read_live_target(self._router, self._service) != self._version:
            return LONGEST_SLEEP
        wait = self._seconds_until_due(ScheduleRecord.read(self._record_file))
        if wait > 0:
            return wait
        with self._exclusively() as lock:
            if lock is None:  # the run of another release has not ended
                return LONGEST_SLEEP
            self._run_locked(lock)
        return 0.0

    def _seconds_until_due(self, record: ScheduleRecord) -> float:
        """Return 0 for a schedule that is not on record yet: it has to be recorded."""
        now = self._clock()
        if record.schedule != self._schedule:
            return 0.0
        return (next_due(self._schedule, record.handled, now) - now).total_seconds()

    def _run_locked(self, lock: int) -> None:
        """Look again, now that nobody else can run it; then run it and record how it ended."""
        record = ScheduleRecord.read(self._record_file).with_interrupted_run(self._clock())
        if record.schedule != self._schedule:
            record = record.with_schedule(self._schedule, self._clock())
        elif self._seconds_until_due(record) <= 0 and not self._stopping:
            record = record.with_run(CommandRun(self._version, self._clock()))
            record.write(self._record_file)
            code = self._execute(lock)
            record = record.with_end(code, self._clock())
            self._note_skipped(record)
        record.write(self._record_file)

    def _execute(self, lock: int) -> int:
        """Run the command to its end. It holds the lock, so that it runs alone even if this process is killed."""
        command = ["/bin/sh", "-c", self._command]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(lock,)).wait()

    def _note_skipped(self, record: ScheduleRecord) -> None:
        run = record.run
        assert run
        if run.ended and (due := CronSchedule.parse(self._schedule).next_after(run.started)) <= run.ended:
            sys.stdout.write(f"[abreast: not started at {due:%H:%M:%S} UTC: the run before had not ended]\n")
            sys.stdout.flush()

    @contextmanager
    def _exclusively(self) -> Iterator[int | None]:
        """Hold the lock of the service's runs for the block, as a descriptor; None if a run of another holds it."""
        lock = FileLock(self._lock_file)
        lock.try_acquire()
        try:
            yield lock.descriptor
        finally:
            lock.release()


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


if __name__ == "__main__":
    home, service, version, schedule, command = sys.argv[1:]
    ScheduledCommand(Path(home), service, version, schedule, command, utc_now).run()
