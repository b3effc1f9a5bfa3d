"""How often, and for how long, to poll a provider."""

from collections.abc import Iterator
from contextlib import contextmanager

BACKOFF_FACTOR = 1.5
INITIAL_FRACTION = 1 / 32
"""The first pause as a fraction of the maximum: many operations end soon. Under load it starts at the maximum."""


class PollBudget:
    """Divides a provider's rate limit among all pollers.

    A poll interval grows to ``max_interval`` seconds for up to ``capacity`` pollers, and longer for more.
    """

    def __init__(self, max_interval: float, capacity: int) -> None:
        self.max_interval = max_interval
        self._capacity = capacity
        self._waiters = 0

    @contextmanager
    def schedule(self, timeout: float) -> Iterator[Iterator[float]]:
        """Yield the pauses of one poller, in seconds, until they add up to ``timeout`` seconds."""
        self._waiters += 1
        try:
            yield self._intervals(timeout)
        finally:
            self._waiters -= 1

    def _intervals(self, timeout: float) -> Iterator[float]:
        load = self._waiters / self._capacity
        fraction, waited = min(1.0, max(INITIAL_FRACTION, load / 4)), 0.0
        while waited < timeout:
            pause = self.max_interval * max(1.0, self._waiters / self._capacity) * fraction
            yield pause
            waited += pause
            fraction = min(1.0, fraction * BACKOFF_FACTOR)
