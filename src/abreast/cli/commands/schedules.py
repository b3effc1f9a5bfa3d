"""Commands that keep running: they do something at the times of a schedule, until Ctrl-C or SIGTERM."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from abreast.cli.redaction import redact
from abreast.cli.target import Target
from abreast.core.errors import AbreastError, DatabaseError, UsageError
from abreast.deploy.outbox import has_failed, tell_occurrence
from abreast.machine.cron_schedule import CronSchedule
from abreast.notify.interface import Occurrence, OccurrenceKind
from abreast.wiring.notifiers import create_notifiers
from abreast.wiring.workspace import utc_now


class RecordedFailureError(DatabaseError):
    """A deployment failed, which has told everybody who is told of deployments."""


def run_on_schedule(
    cron: str | None,
    timezone: str,
    setting: str,
    report: Callable[[Exception], None],
    task: Callable[[], object],
) -> int:
    """Run ``task`` at every time of the schedule, until Ctrl-C or SIGTERM. ``report`` gets each failure.

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
            report(error)


def stop_at_sigterm() -> None:
    """Let SIGTERM, which service managers send, end the command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def report_failure(target: Target, kind: OccurrenceKind, error: Exception, topic: str = "") -> None:
    """Report a failure of what runs on a schedule. Notifiers are not told again of what a deployment has told them."""
    message = str(error) if isinstance(error, AbreastError) else f"{type(error).__name__}: {error}"
    if isinstance(error, RecordedFailureError):
        _alert(target, redact(message))
    else:
        report_occurrence(target, kind, topic, message)


def report_occurrence(target: Target, kind: OccurrenceKind, topic: str, text: str) -> None:
    """Print what happened, run the command `backups: alert` with it, and tell the notifiers."""
    message = redact(text)
    _alert(target, message)
    _tell_notifiers(target, Occurrence(kind, target.project.name, target.environment.name, message, utc_now(), topic))


def report_recovery(target: Target, kind: OccurrenceKind, topic: str, text: str) -> None:
    """Report that something works again, if the record says that it failed, whichever command met that."""
    try:
        with target.workspace.open_ledger() as ledger:
            is_news = has_failed(ledger, target.environment.name, kind, topic)
    except AbreastError as error:
        _print(f"nobody was told that {text}: {error}")
    else:
        if is_news:
            report_occurrence(target, kind, topic, text)


def _alert(target: Target, message: str) -> None:
    print(f"abreast: {message}", file=sys.stderr, flush=True)
    if command := target.project.backups.alert:
        _run_alert(command, message)


def _tell_notifiers(target: Target, occurrence: Occurrence) -> None:
    notifiers = create_notifiers(target.project.name, target.project.notifiers, target.workspace.variables)
    try:
        with target.workspace.open_ledger() as ledger:
            asyncio.run(tell_occurrence(ledger, notifiers, occurrence, _print))
    except AbreastError as error:  # such as a ledger that cannot be written: the schedule goes on
        _print(f"nobody was told: {error}")


def _print(text: str) -> None:
    print(f"abreast: {redact(text)}", file=sys.stderr, flush=True)


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
