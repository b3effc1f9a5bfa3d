"""When a freeze ends, by the clocks of a place."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from abreast.core.freeze import FreezeWindow

WEEKEND, NIGHT = FreezeWindow("Fri 16:00", "Mon 08:00"), FreezeWindow("22:30", "06:00")
HOLIDAYS = FreezeWindow("2026-12-20 18:00", "2027-01-04 08:00")


def end(window: FreezeWindow, now: str) -> str:
    found = window.end(datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/Berlin")))
    return f"{found:%Y-%m-%d %H:%M}" if found else ""


@pytest.mark.parametrize(
    ("window", "now", "expected"),
    [
        (WEEKEND, "2026-11-27T15:59:59", ""),
        (WEEKEND, "2026-11-27T16:00", "2026-11-30 08:00"),
        (WEEKEND, "2026-11-29T23:59:59.9", "2026-11-30 08:00"),
        (WEEKEND, "2026-11-30T07:59:59.9", "2026-11-30 08:00"),
        (WEEKEND, "2026-11-30T08:00", ""),
        (FreezeWindow("Tue 09:00", "Tue 17:00"), "2026-11-24T12:00", "2026-11-24 17:00"),
        (FreezeWindow("Tue 09:00", "Tue 17:00"), "2026-11-25T12:00", ""),
        (FreezeWindow("Tue 17:00", "Tue 09:00"), "2026-11-25T12:00", "2026-12-01 09:00"),
        (NIGHT, "2026-12-31T22:30", "2027-01-01 06:00"),
        (NIGHT, "2027-01-01T05:59", "2027-01-01 06:00"),
        (NIGHT, "2027-01-01T06:00", ""),
        (NIGHT, "2027-01-01T22:29", ""),
        (HOLIDAYS, "2026-12-20T17:59", ""),
        (HOLIDAYS, "2026-12-31T00:00", "2027-01-04 08:00"),
        (HOLIDAYS, "2027-01-04T08:00", ""),
        (WEEKEND, "2026-10-25T02:30", "2026-10-26 08:00"),  # an hour that is there twice
    ],
)
def test_it_ends(window: FreezeWindow, now: str, expected: str) -> None:
    assert end(window, now) == expected


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        ("Fri 16:00", "08:00", "two times of one form"),
        ("Fri 16:00", "2026-12-20 18:00", "two times of one form"),
        ("16:00", "16:00", "an end after 16:00"),
        ("2026-12-20 18:00", "2026-12-19 18:00", "an end after"),
        ("2026-13-20 18:00", "2026-12-19 18:00", "a time such as"),
        ("2026-12-20", "2026-12-21", "a time such as"),
        ("Fr 16:00", "Mon 08:00", "a time such as"),
        ("24:00", "25:00", "a time such as"),
    ],
)
def test_no_window_is_made_of_other_times(starts: str, ends: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        FreezeWindow(starts, ends)
