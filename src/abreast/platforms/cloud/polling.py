"""How often a provider is asked how it gets on, and for how long."""

from collections.abc import Iterator
from contextlib import contextmanager

GROWTH = 1.5
FIRST = 1 / 32
"""The first pause, as a part of the longest: much is over soon. Where many wait, it is the longest at once."""


class Pace:
    """Divides the looks that a provider allows among all who wait for it.

    ``longest``: seconds between two looks, at last, while at most ``room`` wait; more wait longer each.
    """

    def __init__(self, longest: float, room: int) -> None:
        self.longest = longest
        self._room = room
        self._waiting = 0

    @contextmanager
    def waiting(self, within: float) -> Iterator[Iterator[float]]:
        """Give the seconds between the looks of one who waits; they end when they make up ``within`` seconds."""
        self._waiting += 1
        try:
            yield self._pauses(within)
        finally:
            self._waiting -= 1

    def _pauses(self, within: float) -> Iterator[float]:
        crowd = self._waiting / self._room
        part, waited = min(1.0, max(FIRST, crowd / 4)), 0.0
        while waited < within:
            pause = self.longest * max(1.0, self._waiting / self._room) * part
            yield pause
            waited += pause
            part = min(1.0, part * GROWTH)
