"""Refuses to begin a deployment in a freeze, and to go on with one where the freeze says so."""

from collections.abc import Iterator
from datetime import datetime

from abreast.core.errors import RefusedError
from abreast.core.freeze import FreezeWindow
from abreast.core.plan import Plan
from abreast.machine.cron_schedule import read_timezone


def refuse_frozen(plan: Plan, now: str) -> Iterator[RefusedError]:
    """Yield the freezes that the deployment of a plan would begin in. ``now`` is ISO 8601, with its time zone."""
    if plan.is_empty:
        return
    for window in plan.freeze:
        if why := _why_frozen(plan, window, now):
            yield RefusedError(why, next="deploy then; or, if may_skip has freeze: --skip-gate freeze --reason …")


def turned_back_by_freeze(plan: Plan, now: str) -> str:
    """Return which freeze turns back a deployment that began before it, "" if none does."""
    found = (_why_frozen(plan, window, now) for window in plan.freeze if window.turns_back)
    return next(filter(None, found), "")


def _why_frozen(plan: Plan, window: FreezeWindow, now: str) -> str:
    ends = window.end(datetime.fromisoformat(now).astimezone(read_timezone(window.timezone)))
    if ends is None:
        return ""
    why = f": {window.reason}" if window.reason else ""
    return f"{plan.environment} is frozen until {ends:%a %Y-%m-%d %H:%M} {window.timezone}{why}"
