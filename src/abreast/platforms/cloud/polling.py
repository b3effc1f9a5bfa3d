"""How often a provider is asked how it gets on, and for how long."""

from collections.abc import Iterator
from contextlib import contextmanager

BACKOFF_FACTOR = 1.5
INITIAL_FRACTION = 1 / 32
"""The first pause, as a part of the longest: much is over soon. Where many wait, it is the longest at once."""


class PollBudget:
    """Divides the looks that a provider allows among all who wait for it.

    ``longest``: seconds between two looks, at last, while at most ``room`` wait; more wait longer each.
    """

    def __init__(self, max_interval: float, capacity: int) -> None:
        self.max_interval = max_interval
        self._capacity = capacity
        self._waiters = 0

    @contextmanager
    def schedule(self, timeout: float) -> Iterator[Iterator[float]]:
        """Give the seconds between the looks of one who waits; they end when they make up ``within`` seconds."""
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
