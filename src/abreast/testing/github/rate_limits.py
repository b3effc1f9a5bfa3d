"""GitHub's rate limits: requests an hour, and content made in a minute and an hour."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response

from abreast.testing.github.calls import ApiError

HOUR, MINUTE = 3600.0, 60.0


@dataclass
class RateLimits:
    """The limits, as tests set them. ``clock`` returns seconds since 1970."""

    requests_per_hour: int = 1000
    content_per_minute: int = 80
    content_per_hour: int = 500
    clock: Callable[[], float] = time.time
    _requests: dict[str, list[float]] = field(default_factory=dict)
    _content: dict[str, list[float]] = field(default_factory=dict)

    def refuse(self, token: str, method: str) -> Response | None:
        """Count a request of a token, and return its refusal if it is one too many."""
        now = self.clock()
        recent = self._requests[token] = _since(self._requests.get(token, []), now - HOUR)
        if len(recent) >= self.requests_per_hour:
            return ApiError(
                403, "API rate limit exceeded for installation.", headers=dict(self.headers(token))
            ).response()
        recent.append(now)
        if method == "GET":
            return None
        made = self._content[token] = _since(self._content.get(token, []), now - HOUR)
        if len(made) >= self.content_per_hour or len(_since(made, now - MINUTE)) >= self.content_per_minute:
            return self._secondary(made, now)
        made.append(now)
        return None

    def _secondary(self, made: list[float], now: float) -> Response:
        period, allowed = (
            (HOUR, self.content_per_hour) if len(made) >= self.content_per_hour else (MINUTE, self.content_per_minute)
        )
        wait = math.ceil(made[-allowed] + period - now) if made else period
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        return ApiError(403, message, headers={"Retry-After": str(max(1, wait))}).response()

    def headers(self, token: str) -> Mapping[str, str]:
        """Return what every answer tells of the limit of requests."""
        return {f"X-RateLimit-{name.title()}": str(value) for name, value in self._core(token).items()} | {
            "X-RateLimit-Resource": "core"
        }

    def overview(self, token: str) -> Response:
        """Return the answer about all limits, which does not count against them."""
        core = self._core(token)
        other = {"limit": 30, "remaining": 30, "reset": core["reset"], "used": 0}
        return JSONResponse({"resources": {"core": core, "search": other}, "rate": core})

    def _core(self, token: str) -> dict[str, int]:
        used = _since(self._requests.get(token, []), self.clock() - HOUR)
        reset = math.ceil((used[0] if used else self.clock()) + HOUR)
        left = max(0, self.requests_per_hour - len(used))
        return {"limit": self.requests_per_hour, "remaining": left, "reset": reset, "used": len(used)}


def _since(moments: list[float], begin: float) -> list[float]:
    return [moment for moment in moments if moment > begin]
