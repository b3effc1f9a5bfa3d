"""When a provider says "too many requests": how long to wait, in each of the forms that it is said in."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST = 120.0
"""Seconds that are waited at most; whoever asks for more is asked again then."""

UNTOLD = 5.0
"""Seconds that are waited where nothing is said."""

_EPOCH = 1_000_000_000
"""A number from here on is a moment, one below it a duration."""


def wait_for(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds to wait after a 429, from its headers; ``now`` is the time in seconds since 1970.

    Reads ``Retry-After`` (seconds or a date, RFC 9110), ``X-RateLimit-Reset`` and ``RateLimit-Reset`` (seconds
    from now or since 1970), and ``RateLimit`` with ``t=`` (the IETF draft on rate limit headers).
    """
    said = {name.lower(): value.strip() for name, value in headers.items()}
    for name, read in (
        ("retry-after", _retry_after),
        ("ratelimit-reset", _reset),
        ("x-ratelimit-reset", _reset),
        ("ratelimit", _draft),
    ):
        if name in said and (wait := read(said[name], now)) is not None:
            return min(max(wait, 0.0), LONGEST)
    return UNTOLD


def _retry_after(value: str, now: float) -> float | None:
    try:
        return float(value) if _number(value) is not None else parsedate_to_datetime(value).timestamp() - now
    except ValueError:
        return None


def _reset(value: str, now: float) -> float | None:
    number = _number(value)
    if number is None:
        return None
    return number - now if number >= _EPOCH else number


def _draft(value: str, now: float) -> float | None:  # noqa: ARG001 (always a duration)
    found = re.search(r"(?:^|[;,])\s*t=(\d+)", value)
    return float(found[1]) if found else None


def _number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,18}(\.\d+)?", value) else None
