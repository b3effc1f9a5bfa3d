"""How often a provider is asked how it gets on, and for how long."""

from collections.abc import Iterator

GROWTH = 1.5


def pauses(longest: float, within: float = float("inf")) -> Iterator[float]:
    """Yield the seconds between looks: short at first, since much is over soon, then ``longest``.

    Ends when they make up ``within`` seconds.
    """
    pause, waited = longest / 32, 0.0
    while waited < within:
        yield pause
        waited += pause
        pause = min(longest, pause * GROWTH)
