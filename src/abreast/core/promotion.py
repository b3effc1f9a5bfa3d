"""Promotion: whether a release that one environment has tried may go to the next."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from abreast.core.frozen_dataclass import dataclass
from abreast.core.wording import counted


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """Releases come from the environment ``source``, ``soak`` seconds after they went live there.

    Artifacts older than ``max_age`` seconds are refused, None for no limit.
    """

    source: str
    soak: float = 0.0
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class TriedRelease:
    """What became of a release in the environment that tries it. Times are ISO 8601.

    ``live_since``: when its deployment succeeded, "" if none did. ``taken_back``: which later deployment went back from
    it, and why, "" if none did. ``unhealthy``: what is wrong with those of its services that are live, by service.
    ``built``: when it was numbered, before its builds.
    """

    version: str
    live_since: str
    taken_back: str
    unhealthy: Sequence[str]
    built: str


def promotion_refusals(rule: PromotionRule, tried: TriedRelease, now: str) -> Iterator[str]:
    """Yield why a release may not be promoted, what only needs time last. Nothing if it may.

    The soak time belongs to the release: what is deployed after it does not start it again.
    """
    version, source = tried.version, rule.source
    if not tried.live_since:
        yield f"{version} was never live in {source}"
        return
    if tried.taken_back:
        yield f"{version} was taken back in {source}: {tried.taken_back}"
    yield from (f"{version} is not healthy in {source}: {fault}" for fault in tried.unhealthy)
    age = _seconds(tried.built, now)
    if rule.max_age is not None and age > rule.max_age:
        limit = _duration(rule.max_age)
        yield f"{version} was built {_duration(age)} ago, and artifacts older than {limit} are refused"
    if wait := soak_left(rule, tried, now):
        yield f"{version} may be promoted in {wait}: it has to be live in {source} for {_duration(rule.soak)}"


def soak_left(rule: PromotionRule, tried: TriedRelease, now: str) -> str:
    """Return how long a release still has to be live, in words, "" if it was for long enough, or never was."""
    left = rule.soak - _seconds(tried.live_since, now) if tried.live_since else 0.0
    return _duration(left) if left > 0 else ""


def _seconds(since: str, until: str) -> float:
    """Return the seconds between two moments; none if a clock went back."""
    return max(0.0, (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds())


def _duration(seconds: float) -> str:
    """Return a duration in its two largest units, rounded up, so that it is over when it says so."""
    whole = int(-(-seconds // 1))
    for unit, name, smaller, smaller_name in ((86400, "day", 3600, "hour"), (3600, "hour", 60, "minute")):
        if whole >= unit:
            rest = -(-(whole % unit) // smaller)
            return counted(whole // unit, name) + (f" {counted(rest, smaller_name)}" if rest else "")
    return counted(-(-whole // 60), "minute") if whole > 60 else counted(whole, "second")
