"""Commands that keep running: they do something at the times of a schedule, until Ctrl-C or SIGTERM."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from abreast.cli.redaction import redact
from abreast.core.errors import AbreastError, UsageError
from abreast.machine.cron_schedule import CronSchedule


def run_on_schedule(
    cron: str | None, timezone: str, setting: str, alert: str | None, task: Callable[[], object]
) -> int:
    """Run ``task`` at every time of the schedule, until Ctrl-C or SIGTERM. A failure is printed, and ``alert`` is run.

    Raises UsageError if there is no schedule.
    """
    if cron is None:
        raise UsageError(
            f"no schedule: `backups: {setting}` is not set in abreast.yml", need="a schedule such as 0 3 * * *"
        )
    stop_at_sigterm()
    schedule = CronSchedule(cron, timezone)
    while True:
        _wait_until(schedule.next_after(datetime.now(UTC)))
        try:
            task()
        except Exception as error:  # noqa: BLE001 (one failed run must not end the schedule)
            report_failure(str(error) if isinstance(error, AbreastError) else f"{type(error).__name__}: {error}", alert)


def stop_at_sigterm() -> None:
    """Let SIGTERM, which service managers send, end the command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def report_failure(text: str, alert: str | None) -> None:
    """Print a failure, and run the command ``alert`` with it."""
    message = redact(text)
    print(f"abreast: {message}", file=sys.stderr, flush=True)
    if alert:
        _run_alert(alert, message)


def _wait_until(moment: datetime) -> None:
    print(f"next run at {moment:%Y-%m-%d %H:%M:%S} UTC", file=sys.stderr, flush=True)
    while (remaining := (moment - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(remaining, 30))  # the clock may be set meanwhile


def _run_alert(command: str, message: str) -> None:
    done = subprocess.run(["/bin/sh", "-c", command], env={**os.environ, "ABREAST_ALERT": message}, check=False)
    if done.returncode:
        print(
            redact(f"abreast: the alert failed with exit code {done.returncode}: {command}"),
            file=sys.stderr,
            flush=True,
        )
