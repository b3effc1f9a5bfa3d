"""Judging a version by a series of looks at it: pure, so that every way it can go is tested as data."""

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURE_THRESHOLD = 3
"""Bad looks in a row, after a good one, that count as failed."""


class ProbeVerdict(StrEnum):
    """What the looks so far amount to."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One look, ``at`` seconds since the first; ``final``: looking again cannot help."""

    elapsed: float
    success: bool
    why: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class ProbeSeries:
    """Passes after good looks for ``hold`` seconds in a row.

    Fails when none was good within ``start`` seconds, at a final look, or at PATIENCE bad ones in a row
    after a good one.
    """

    start: float
    hold: float
    verdict: ProbeVerdict = ProbeVerdict.OPEN
    why: str = ""
    healthy_since: float | None = None
    was_healthy: bool = False
    consecutive_failures: int = 0

    def next_delay(self, now: float, interval: float) -> float:
        """Return the seconds until the next look: the usual, or less where the trial could pass before."""
        return interval if self.healthy_since is None else min(interval, max(0.0, self.healthy_since + self.hold - now))

    def with_result(self, result: ProbeResult) -> "ProbeSeries":
        """Return the trial as it stands after one more look; a verdict once given stays."""
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
            why = f"was healthy, then not {failures} times in a row: {result.why}"
        elif late and not result.final:
            why = f"not healthy within {self.start:g} s: {result.why}"
        return replace(self, healthy_since=None, consecutive_failures=failures, verdict=verdict, why=why)
