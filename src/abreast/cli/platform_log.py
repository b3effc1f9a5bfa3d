"""The output of a service on a platform that keeps it."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from abreast.cli.redaction import redact
from abreast.core.errors import PlatformError
from abreast.core.model import LiveService
from abreast.platforms.interface import Platform, ReportsLogs

POLL_INTERVAL = 5.0
"""Seconds between two questions to a platform."""


class PlatformLog:
    """The output of a live service, fetched at most every ``POLL_INTERVAL`` seconds.

    A platform that does not answer is said once, in place of lines, and asked again.
    """

    def __init__(self, runner: asyncio.Runner, platform: ReportsLogs, live: LiveService, limit: int) -> None:
        self._runner, self._platform, self._live, self._limit = runner, platform, live, limit
        self._seen = Counter[tuple[str, str]]()
        self._problem = ""
        self._asked_at = 0.0

    def new_lines(self, *, at_end: bool) -> list[str]:
        """Return the lines that were not returned yet. ``at_end`` fetches them at once."""
        if not at_end and time.monotonic() - self._asked_at < POLL_INTERVAL:
            return []
        self._asked_at = time.monotonic()
        try:
            lines = self._runner.run(self._platform.recent_logs(self._live.definition, self._limit))
        except PlatformError as error:
            known, self._problem = self._problem, error.what
            return [] if known == error.what else [redact(f"cannot be read: {error.what}")]
        seen, self._seen, self._problem = self._seen, Counter(lines), ""
        return [redact(f"{at} {text}") for at, text in _without(seen, lines)]


def _without(seen: Counter[tuple[str, str]], lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the lines that were not seen. Of equal lines, as many were as ``seen`` counts."""
    remaining = seen.copy()
    for line in lines:
        if remaining[line]:
            remaining[line] -= 1
        else:
            yield line


def platform_logs(
    platforms: Mapping[str, Platform], services: Mapping[str, LiveService], limit: int, runner: asyncio.Runner
) -> dict[str, PlatformLog]:
    """Return the logs that platforms keep of live services, by service."""
    return {
        name: PlatformLog(runner, platform, live, limit)
        for name, live in services.items()
        if isinstance(platform := platforms[live.platform], ReportsLogs)
    }
