"""Judge a version by a series of probes, as Kubernetes does."""

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURE_THRESHOLD = 3
"""Consecutive failures, after a success, that fail the series."""


class ProbeVerdict(StrEnum):
    """The verdict of the probes so far."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe, ``elapsed`` seconds after the first. ``final``: another probe cannot succeed."""

    elapsed: float
    success: bool
    why: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class ProbeSeries:
    """Passes when probes succeed for ``hold`` seconds without a failure.

    Fails without a success within ``start`` seconds, at a final failure, or at FAILURE_THRESHOLD consecutive failures
    after a success.
    """

    start: float
    hold: float
    verdict: ProbeVerdict = ProbeVerdict.OPEN
    why: str = ""
    healthy_since: float | None = None
    was_healthy: bool = False
    consecutive_failures: int = 0

    def next_delay(self, now: float, interval: float) -> float:
        """Return the seconds until the next probe: ``interval``, or less if the series can pass earlier."""
        return interval if self.healthy_since is None else min(interval, max(0.0, self.healthy_since + self.hold - now))

    def with_result(self, result: ProbeResult) -> "ProbeSeries":
        """Return the series after one more probe. A verdict never changes."""
        if self.verdict is not ProbeVerdict.OPEN:
            return self
        return self._with_success(result) if result.success else self._with_failure(result)

    def _with_success(self, result: ProbeResult) -> "ProbeSeries":
        since = result.elapsed if self.healthy_since is None else self.healthy_since
        passed = result.elapsed - since >= self.hold
        verdict = ProbeVerdict.PASSED if passed else ProbeVerdict.OPEN
        return replace(self, healthy_since=since, was_healthy=True, consecutive_failures=0, verdict=verdict, why="")

    def _with_failure(self, result: ProbeResult) -> "ProbeSeries":
        failures = self.consecutive_failures + 1
        lost = self.was_healthy and failures >= FAILURE_THRESHOLD
        late = not self.was_healthy and result.elapsed >= self.start
        verdict = ProbeVerdict.FAILED if result.final or lost or late else ProbeVerdict.OPEN
        why = result.why
        if lost and not result.final:
            why = f"was healthy, then failed {failures} times in a row: {result.why}"
        elif late and not result.final:
            why = f"not healthy within {self.start:g} s: {result.why}"
        return replace(self, healthy_since=None, consecutive_failures=failures, verdict=verdict, why=why)
