"""How long to wait after a 429, from any of the common rate limit headers."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

DEFAULT_DELAY = 5.0
"""Seconds to wait without a rate limit header."""

_EPOCH_THRESHOLD = 1_000_000_000
"""Numbers from here on are Unix times, smaller ones are durations."""


def rate_limit_delay(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds to wait after a 429, from its headers; ``now`` is the time in seconds since 1970.

    Reads ``Retry-After`` (seconds or a date, RFC 9110), ``X-RateLimit-Reset`` and ``RateLimit-Reset`` (seconds
    from now or since 1970), and ``RateLimit`` with ``t=`` (the IETF draft on rate limit headers).
    """
    values = {name.lower(): value.strip() for name, value in headers.items()}
    for name, read in (
        ("retry-after", _parse_retry_after),
        ("ratelimit-reset", _parse_reset),
        ("x-ratelimit-reset", _parse_reset),
        ("ratelimit", _parse_draft_header),
    ):
        if name in values and (wait := read(values[name], now)) is not None:
            return max(wait, 0.0)
    return DEFAULT_DELAY


def _parse_retry_after(value: str, now: float) -> float | None:
    try:
        return float(value) if _parse_number(value) is not None else parsedate_to_datetime(value).timestamp() - now
    except ValueError:
        return None


def _parse_reset(value: str, now: float) -> float | None:
    number = _parse_number(value)
    if number is None:
        return None
    return number - now if number >= _EPOCH_THRESHOLD else number


def _parse_draft_header(value: str, now: float) -> float | None:  # noqa: ARG001 (always a duration)
    match = re.search(r"(?:^|[;,])\s*t=(\d+)", value)
    return float(match[1]) if match else None


def _parse_number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,18}(\.\d+)?", value) else None
