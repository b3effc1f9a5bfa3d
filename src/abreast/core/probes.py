"""Judge a version by a series of probes, as Kubernetes does."""

from dataclasses import replace
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass

FAILURE_THRESHOLD = 3
"""Consecutive failures, after a success, that fail the series."""

WARM_UP_STATUSES = frozenset({502, 503, 504})
"""Server errors with which an application, or a proxy in front of it, says that it is not ready yet."""

SAME_ERROR_PROBES = 10
"""Consecutive probes with the same server error before a series may fail early."""

SAME_ERROR_FRACTION = 0.25
"""The part of ``start`` for which the same server error must have come back before a series fails early."""

PROBES_WHILE_HOLDING = 4
"""Probes in the time for which a version must stay healthy. The application may log each."""

USER_AGENT = "abreast-probe"
"""The ``User-Agent`` of every probe, so that applications can leave probes out of their access logs."""


class ProbeVerdict(StrEnum):
    """The verdict of the probes so far."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe, ``elapsed`` seconds after the first. ``final``: another probe cannot succeed.

    ``status``: the HTTP status of the answer, None if there was none.
    """

    elapsed: float
    success: bool
    why: str = ""
    final: bool = False
    status: int | None = None

    @property
    def server_error(self) -> int | None:
        """The status of an answer that a warm-up does not explain, None for others."""
        found = self.status is not None and self.status >= 500 and self.status not in WARM_UP_STATUSES
        return self.status if found and not self.success else None


@dataclass(frozen=True, slots=True)
class ProbeSeries:
    """Passes when probes succeed for ``hold`` seconds without a failure.

    Fails without a success within ``start`` seconds, at a final failure, or at FAILURE_THRESHOLD consecutive failures
    after a success. Before the first success, it also fails at the same server error for SAME_ERROR_FRACTION of
    ``start``, in at least SAME_ERROR_PROBES probes: an application that is warming up does not answer, or with one of
    WARM_UP_STATUSES.
    """

    start: float
    hold: float
    verdict: ProbeVerdict = ProbeVerdict.OPEN
    why: str = ""
    healthy_since: float | None = None
    was_healthy: bool = False
    consecutive_failures: int = 0
    server_error: int | None = None
    server_error_since: float = 0.0
    server_error_probes: int = 0

    def next_delay(self, now: float, interval: float) -> float:
        """Return the seconds until the next probe.

        That is ``interval``. While the version must stay healthy, PROBES_WHILE_HOLDING are enough, and the last one
        comes as soon as the series can pass.
        """
        if self.healthy_since is None:
            return interval
        return min(max(interval, self.hold / PROBES_WHILE_HOLDING), max(0.0, self.healthy_since + self.hold - now))

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
        counted = self._with_server_error(result)
        why = counted._reason_to_fail(result)
        verdict = ProbeVerdict.FAILED if why or result.final else ProbeVerdict.OPEN
        return replace(counted, verdict=verdict, why=why or result.why)

    def _with_server_error(self, result: ProbeResult) -> "ProbeSeries":
        """Return the series with one more failure, and the same server error counted."""
        repeated = result.server_error is not None and result.server_error == self.server_error
        return replace(
            self,
            healthy_since=None,
            consecutive_failures=self.consecutive_failures + 1,
            server_error=result.server_error,
            server_error_since=self.server_error_since if repeated else result.elapsed,
            server_error_probes=self.server_error_probes + 1 if repeated else 1,
        )

    def _reason_to_fail(self, result: ProbeResult) -> str:
        """Return why the series fails with this result, which is its last; "" if it may still pass."""
        if result.final:
            return result.why
        if self.was_healthy and self.consecutive_failures >= FAILURE_THRESHOLD:
            return f"was healthy, then failed {self.consecutive_failures} times in a row: {result.why}"
        if not self.was_healthy and result.elapsed >= self.start:
            return f"not healthy within {self.start:g} s: {result.why}"
        seconds = result.elapsed - self.server_error_since
        if self.was_healthy or self.server_error is None or self.server_error_probes < SAME_ERROR_PROBES:
            return ""
        if seconds < SAME_ERROR_FRACTION * self.start:
            return ""
        return f"nothing but status {self.server_error} for {seconds:.0f} s: {result.why}"
