"""When a scheduled command is due, and its record: until when its times are handled, and how it ran last."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from abreast.machine.cron_schedule import CronSchedule

WRONG_CLOCK = timedelta(days=7)
"""A last run that lies further ahead than this was recorded by a clock that was wrong, and does not count."""


def next_due(schedule: str, handled: datetime | None, now: datetime) -> datetime:
    """Return when the command is due next: after what is ``handled``, so that no time is due twice.

    A time that passed unhandled is due at once, several of them once.
    """
    since = now if handled is None or handled - now > WRONG_CLOCK else handled
    return CronSchedule.parse(schedule).next_after(since)


@dataclass(frozen=True, slots=True)
class CommandRun:
    """A run of a version's command. It was interrupted if it ``ended`` without an exit code."""

    version: str
    started: datetime
    ended: datetime | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """Until when the times of a ``schedule`` are ``handled``, and the last run. Only its lock's holder writes it."""

    schedule: str = ""
    handled: datetime | None = None
    run: CommandRun | None = None

    def with_schedule(self, schedule: str, now: datetime) -> "ScheduleRecord":
        """Return the record of another schedule, of which nothing is due yet."""
        return replace(self, schedule=schedule, handled=now)

    def with_run(self, run: CommandRun) -> "ScheduleRecord":
        """Return the record with a run that starts."""
        return replace(self, run=run, handled=run.started)

    def with_end(self, exit_code: int, now: datetime) -> "ScheduleRecord":
        """Return the record with the end of its run. What was due meanwhile is skipped, whatever the clock did."""
        assert self.run
        handled = max(now, self.handled) if self.handled else now
        return replace(self, run=replace(self.run, ended=now, exit_code=exit_code), handled=handled)

    def with_interrupted_run(self, now: datetime) -> "ScheduleRecord":
        """Return the record with the end of a run that nobody recorded. Only for who holds the lock: none runs."""
        if self.run is None or self.run.ended:
            return self
        return replace(self, run=replace(self.run, ended=now))

    @classmethod
    def read(cls, file: Path) -> "ScheduleRecord":
        """Return the record in a file; of nothing if it is missing or damaged."""
        try:
            wire = json.loads(file.read_text())
            run = wire["run"] and CommandRun(
                wire["run"]["version"],
                datetime.fromisoformat(wire["run"]["started"]),
                _moment(wire["run"]["ended"]),
                wire["run"]["exit_code"],
            )
            return cls(wire["schedule"], _moment(wire["handled"]), run)
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, file: Path) -> None:
        """Write the record atomically and durably: what has run must not run again after a power failure."""
        temporary = file.with_suffix(".new")
        with temporary.open("w") as opened:
            json.dump(self._wire(), opened)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)

    def _wire(self) -> Mapping[str, Any]:
        run = self.run and {
            "version": self.run.version,
            "started": self.run.started.isoformat(),
            "ended": self.run.ended and self.run.ended.isoformat(),
            "exit_code": self.run.exit_code,
        }
        return {"schedule": self.schedule, "handled": self.handled and self.handled.isoformat(), "run": run}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
