"""When a schedule is due: a cron expression in a time zone.

Its text is the expression, after ``CRON_TZ=Europe/Berlin`` for another time zone than UTC, as in a crontab.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Self
from zoneinfo import ZoneInfo

from cronsim import CronSim

UTC_NAME = "UTC"
_ZONE = "CRON_TZ="


def read_timezone(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises ValueError if the machine knows none of that name."""
    if name == UTC_NAME:  # needs no database of time zones
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError):
        raise ValueError("expected a time zone that this machine knows, such as Europe/Berlin") from None


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Five fields, or six with seconds first. ``str`` returns its text, and ``parse`` reads it."""

    expression: str
    timezone: str = UTC_NAME

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the schedule of a text."""
        zone, _, expression = text.removeprefix(_ZONE).partition(" ")
        return cls(expression, zone) if text.startswith(_ZONE) else cls(text)

    def __str__(self) -> str:
        return self.expression if self.timezone == UTC_NAME else f"{_ZONE}{self.timezone} {self.expression}"

    @property
    def label(self) -> str:
        """The schedule as people read it: ``0 3 * * * (Europe/Berlin)``."""
        return f"{self.expression} ({self.timezone})"

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after ``moment``, in UTC.

        Where clocks change, that is as in Debian's cron: a fixed time that they skip is due right after the change, one
        that they repeat is due once, and an expression with ``*`` for the hour or minute follows the clock.
        """
        return next(CronSim(self.expression, moment.astimezone(read_timezone(self.timezone)))).astimezone(UTC)
