"""How often a provider is asked how it gets on."""

from collections.abc import Iterator

GROWTH = 1.5


def pauses(longest: float) -> Iterator[float]:
    """Yield the seconds between looks: short at first, since much is over soon, then ``longest`` for ever."""
    pause = longest / 8
    while True:
        yield pause
        pause = min(longest, pause * GROWTH)
