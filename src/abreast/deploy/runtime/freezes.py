"""Refuses to begin a deployment in a freeze."""

from collections.abc import Iterator
from datetime import datetime

from abreast.core.errors import RefusedError
from abreast.core.plan import Plan
from abreast.machine.cron_schedule import read_timezone


def refuse_frozen(plan: Plan, now: str) -> Iterator[RefusedError]:
    """Yield the freezes that the deployment of a plan would begin in. ``now`` is ISO 8601, with its time zone."""
    if plan.is_empty:
        return
    for window in plan.freeze:
        if ends := window.end(datetime.fromisoformat(now).astimezone(read_timezone(window.timezone))):
            why = f": {window.reason}" if window.reason else ""
            yield RefusedError(
                f"{plan.environment} is frozen until {ends:%a %Y-%m-%d %H:%M} {window.timezone}{why}",
                next="deploy then; or, if may_skip has freeze: --skip-gate freeze --reason …",
            )
