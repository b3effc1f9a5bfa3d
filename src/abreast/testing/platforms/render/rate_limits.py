"""Render's rate limits, per minute: https://api-docs.render.com/reference/rate-limiting."""

import math
import re
import time
from collections.abc import Callable, Mapping

WINDOW = 60.0
READS, WRITES, DEPLOYMENTS = 400, 30, 10
_DEPLOYMENT = re.compile(r"/services/([^/]+)(?:/deploys|/suspend|/resume)?$")
_HOOK = re.compile(r"^/deploy/([^/]+)$")


class RateLimits:
    """Counts requests, and says what is left. With ``enforced``, too many are refused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.enforced = False
        self._clock = clock
        self._requests: dict[str, list[float]] = {}

    def count(self, method: str, path: str) -> tuple[bool, Mapping[str, str]]:
        """Count a request. Returns whether it is one too many, and the headers of its answer."""
        name, maximum = _limit_of(method, path)
        now = self._clock()
        recent = [at for at in self._requests.get(name, []) if now - at < WINDOW]
        refused = self.enforced and len(recent) >= maximum
        if not refused:
            recent.append(now)
        self._requests[name] = recent
        reset = math.ceil(WINDOW - (now - recent[0]))
        headers = {
            "Ratelimit-Limit": str(maximum),
            "Ratelimit-Remaining": str(max(0, maximum - len(recent))),
            "Ratelimit-Reset": str(reset),
        }
        return refused, headers


def _limit_of(method: str, path: str) -> tuple[str, int]:
    """Return the name of the limit that a request counts against, and its maximum."""
    if hook := _HOOK.search(path):
        return f"deployments of {hook[1]}", DEPLOYMENTS
    if method == "GET":
        return "reads", READS
    found = _DEPLOYMENT.search(path)
    return (f"deployments of {found[1]}", DEPLOYMENTS) if found else ("writes", WRITES)
