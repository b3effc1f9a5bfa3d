"""GitHub's limits on making content, kept before GitHub has to refuse."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Allowance(NamedTuple):
    """At most ``maximum`` requests in any ``period`` seconds."""

    maximum: int
    period: float


CONTENT = (Allowance(80, 60.0), Allowance(500, 3600.0))
"""What GitHub allows of requests that make content."""


class ContentLimit:
    """Lets one request after another pass, no more than allowed. ``clock`` returns seconds, ``sleep`` waits them."""

    def __init__(
        self,
        allowances: tuple[Allowance, ...] = CONTENT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._allowances = allowances
        self._clock = clock
        self._sleep = sleep
        self._passed: deque[float] = deque(maxlen=max(allowance.maximum for allowance in allowances))

    async def take(self) -> None:
        """Return once another request is allowed, and count it."""
        while (wait := self._wait()) > 0:
            await self._sleep(wait)
        self._passed.append(self._clock())

    def _wait(self) -> float:
        now = self._clock()
        return max(
            self._passed[-maximum] + period - now if len(self._passed) >= maximum else 0.0
            for maximum, period in self._allowances
        )
