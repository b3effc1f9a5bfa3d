"""How users get from one version of a service to the next."""

from collections.abc import Sequence
from enum import StrEnum


class Strategy(StrEnum):
    """How users get from one version of a service to the next.

    BLUE_GREEN: the new version is checked beside the previous one, then traffic switches. RECREATE: the previous one
    stops before the new one starts.
    """

    BLUE_GREEN = "blue-green"
    RECREATE = "recreate"


def decide_strategy(wanted: Strategy, offered: Sequence[Strategy], live: Strategy | None = None) -> Strategy | None:
    """Return the strategy of a deployment of one service, None for a way of its platform's own.

    ``wanted`` is what abreast.yml says of the new version, ``live`` what it said of the one that users are on. One of
    RECREATE runs beside no other, whichever of the two is new. ``offered``: what the platform has for the service, its
    default first.
    """
    if Strategy.RECREATE in offered and Strategy.RECREATE in {wanted, live}:
        return Strategy.RECREATE
    return wanted if wanted in offered else next(iter(offered), None)


def is_missing(wanted: Strategy, offered: Sequence[Strategy]) -> bool:
    """Whether a service needs a strategy that its platform does not have.

    BLUE_GREEN is never missing: where a platform does not have it, the plan says what it does instead.
    """
    return wanted is not Strategy.BLUE_GREEN and wanted not in offered


def missing_strategy(service: str, platform: str, wanted: Strategy, offered: Sequence[Strategy]) -> tuple[str, str]:
    """Return what is wrong where a service needs a strategy that its platform does not have, and what is needed."""
    has = f"has {offered[0]} only" if offered else "replaces versions in a way of its own"
    return (
        f"{service} has `strategy: {wanted}`, and {platform} {has} for it",
        f"{service} without it in this environment (`strategy: {Strategy.BLUE_GREEN}`), or on local",
    )
