"""When schedules are due in a time zone, also where its clocks change: as crontab(5) and cron(8) of Debian say."""

from datetime import UTC, datetime

import pytest

from abreast.machine.cron_schedule import CronSchedule

SPRING, AUTUMN = "2026-03-29", "2026-10-25"
"""In Berlin, 02:00 becomes 03:00 (01:00 UTC) on the one, and 03:00 becomes 02:00 (01:00 UTC) on the other."""


def due(expression: str, zone: str, since: str, count: int) -> list[str]:
    schedule, moment, found = CronSchedule(expression, zone), datetime.fromisoformat(f"{since}+00:00"), []
    for _ in range(count):
        moment = schedule.next_after(moment)
        assert moment.tzinfo is UTC
        found.append(f"{moment:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "since", "expected"),
    [
        ("0 3 * * *", "UTC", f"{SPRING} 00:00", ["03-29 03:00", "03-30 03:00"]),
        ("0 3 * * *", "Europe/Berlin", "2026-01-10 00:00", ["01-10 02:00", "01-11 02:00"]),
        ("0 9 * * *", "Europe/Berlin", "2026-03-28 00:00", ["03-28 08:00", "03-29 07:00", "03-30 07:00"]),
        # A fixed time that does not exist: right after the change, and once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", ["03-29 01:00", "03-30 00:30"]),
        # A fixed time that exists twice: the first of both.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", ["10-25 00:30", "10-26 01:30"]),
        # An hour or minute that is any follows the clock.
        ("0 * * * *", "Europe/Berlin", f"{SPRING} 00:00", ["03-29 01:00", "03-29 02:00"]),
        ("30 * * * *", "Europe/Berlin", f"{AUTUMN} 00:00", ["10-25 00:30", "10-25 01:30", "10-25 02:30"]),
    ],
)
def test_fixed_times_are_due_once_and_others_follow_the_clock(
    expression: str, zone: str, since: str, expected: list[str]
) -> None:
    assert due(expression, zone, since, len(expected)) == expected


@pytest.mark.parametrize("text", ["0 3 * * *", "*/5 0 3 * * *", "CRON_TZ=Europe/Berlin 0 3 * * *"])
def test_the_text_of_a_schedule_is_read_as_it_was_written(text: str) -> None:
    assert str(CronSchedule.parse(text)) == text


def test_people_read_the_time_zone() -> None:
    assert CronSchedule.parse("CRON_TZ=Europe/Berlin 0 3 * * *").label == "0 3 * * * (Europe/Berlin)"
    assert CronSchedule.parse("0 3 * * *").label == "0 3 * * * (UTC)"
