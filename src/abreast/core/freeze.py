"""Freezes: times at which no deployment begins."""

import re
from datetime import datetime, timedelta

from abreast.core.frozen_dataclass import dataclass

FREEZE = "freeze"
"""The name by which ``--skip-gate`` accepts a freeze."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOMENT = re.compile(rf"(?:(\d{{4}}-\d\d-\d\d) |({'|'.join(_DAYS)}) )?([01]\d|2[0-3]):([0-5]\d)")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """No deployment begins from ``starts`` until ``ends``, by the clocks of ``timezone``, an IANA name.

    Both are of one form: ``2026-12-20 18:00`` is once, ``Fri 16:00`` each week, ``22:30`` each day. A deployment that
    began before is finished, or with ``turns_back`` turned back if its traffic has not switched by then.
    """

    starts: str
    ends: str
    timezone: str = "UTC"
    reason: str = ""
    turns_back: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for times that no window is made of."""
        first, last = _read_moment(self.starts), _read_moment(self.ends)
        if type(first) is not type(last) or _period(self.starts) != _period(self.ends):
            raise ValueError(f"expected two times of one form, such as Fri 16:00 and Mon 08:00, found {self.ends!r}")
        if first == last or (isinstance(first, datetime) and isinstance(last, datetime) and last < first):
            raise ValueError(f"expected an end after {self.starts}, found {self.ends!r}")

    def end(self, now: datetime) -> datetime | None:
        """Return when the freeze ends that ``now`` is in, None if it is in none. Both are of the window's time zone."""
        first, last = _read_moment(self.starts), _read_moment(self.ends)
        wall = now.replace(tzinfo=None)
        if isinstance(first, datetime) and isinstance(last, datetime):
            return last if first <= wall < last else None
        assert isinstance(first, timedelta)
        assert isinstance(last, timedelta)
        period = _period(self.starts)
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        begin = midnight - (timedelta(days=wall.weekday()) if period > _DAY else timedelta())
        since = (wall - begin - first) % period
        length = (last - first) % period
        return wall - since + length if since < length else None


def check_moment(text: str) -> str:
    """Return the text of a moment. Raises ValueError for any other."""
    _read_moment(text)
    return text


def _read_moment(text: str) -> datetime | timedelta:
    """Return a moment: a time of its own, or the time since the period began."""
    match = _MOMENT.fullmatch(text)
    try:
        if match and match[1]:
            return datetime.fromisoformat(text)
    except ValueError:
        match = None
    if match is None:
        raise ValueError("expected a time such as Fri 16:00, 22:30 or 2026-12-20 18:00")
    days = _DAYS.index(match[2]) if match[2] else 0
    return timedelta(days=days, hours=int(match[3]), minutes=int(match[4]))


def _period(text: str) -> timedelta:
    return 7 * _DAY if text[:3] in _DAYS else _DAY
