"""Netlify's rate limits: 500 requests a minute; 3 deploys a minute and 100 a day."""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abreast.testing.platforms.netlify.model import API

MINUTE, DAY = 60.0, 86_400.0
_CREATE_DEPLOY = re.compile(rf"{API}/sites/[^/]+/deploys")


class RateLimit(NamedTuple):
    """At most ``maximum`` in any ``period`` seconds."""

    maximum: int
    period: float


@dataclass(frozen=True)
class RateLimits:
    """The limits of all requests and of requests that create a deploy. ``clock`` returns seconds since 1970."""

    requests: Sequence[RateLimit] = (RateLimit(500, MINUTE),)
    deploys: Sequence[RateLimit] = (RateLimit(3, MINUTE), RateLimit(100, DAY))
    clock: Callable[[], float] = field(default=time.time)


UNLIMITED = RateLimits(requests=(), deploys=())
"""No limits, for tests that deploy often."""


class _Meter:
    """Counts events against limits."""

    def __init__(self, limits: Sequence[RateLimit], clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._events: deque[float] = deque()

    def exceeded(self) -> bool:
        """Whether one more event would exceed a limit."""
        return any(self._remaining(limit) < 1 for limit in self._limits)

    def count(self) -> None:
        """Count one event."""
        self._events.append(self._clock())
        longest = max((limit.period for limit in self._limits), default=0.0)
        while self._events and self._events[0] <= self._clock() - longest:
            self._events.popleft()

    def headers(self) -> dict[str, str]:
        """Return the headers about the limit that is nearest; ``Reset`` is when it allows one more again."""
        if not self._limits:
            return {}
        limit = min(self._limits, key=lambda limit: (self._remaining(limit), -limit.period))
        within = [event for event in self._events if event > self._clock() - limit.period]
        reset = (within[0] if within else self._clock()) + limit.period
        remaining = max(0, self._remaining(limit))
        numbers = {"Limit": limit.maximum, "Remaining": remaining, "Reset": math.ceil(reset)}
        return {f"X-RateLimit-{name}": str(number) for name, number in numbers.items()}

    def _remaining(self, limit: RateLimit) -> int:
        return limit.maximum - sum(event > self._clock() - limit.period for event in self._events)


class RateLimiter:
    """Middleware that refuses requests over a limit with 429, and tells the limits with every answer of the API."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._requests = _Meter(limits.requests, limits.clock)
        self._deploys = _Meter(limits.deploys, limits.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        creates = scope["method"] == "POST" and _CREATE_DEPLOY.fullmatch(scope["path"])
        meters = [self._requests, *([self._deploys] if creates else [])]
        if full := [meter for meter in meters if meter.exceeded()]:
            answer = {"code": 429, "message": "Too many requests"}
            await JSONResponse(answer, 429, full[0].headers())(scope, receive, send)
            return
        for meter in meters:
            meter.count()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._requests.headers())
            await send(message)

        await self._app(scope, receive, send_with_headers)
