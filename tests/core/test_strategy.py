"""Which strategy a deployment of a service takes."""

import pytest

from abreast.core.strategy import Strategy, decide_strategy, is_missing

BLUE_GREEN, RECREATE = Strategy.BLUE_GREEN, Strategy.RECREATE
BOTH = (BLUE_GREEN, RECREATE)


@pytest.mark.parametrize(
    ("wanted", "offered", "live", "decided"),
    [
        (BLUE_GREEN, BOTH, None, BLUE_GREEN),
        (RECREATE, BOTH, None, RECREATE),
        (RECREATE, BOTH, BLUE_GREEN, RECREATE),
        (BLUE_GREEN, BOTH, RECREATE, RECREATE),  # what is live runs beside no other version
        (BLUE_GREEN, (RECREATE,), None, RECREATE),
        (BLUE_GREEN, (BLUE_GREEN,), RECREATE, BLUE_GREEN),
        (BLUE_GREEN, (), RECREATE, None),
        (RECREATE, (), None, None),
    ],
)
def test_the_strategy_is_decided(
    wanted: Strategy, offered: tuple[Strategy, ...], live: Strategy | None, decided: Strategy | None
) -> None:
    assert decide_strategy(wanted, offered, live) is decided


@pytest.mark.parametrize(
    ("wanted", "offered", "missing"),
    [
        (RECREATE, (BLUE_GREEN,), True),
        (RECREATE, (), True),
        (RECREATE, (RECREATE,), False),
        (BLUE_GREEN, (RECREATE,), False),
        (BLUE_GREEN, (), False),
    ],
)
def test_only_what_a_service_needs_can_be_missing(
    wanted: Strategy, offered: tuple[Strategy, ...], missing: bool
) -> None:
    assert is_missing(wanted, offered) is missing
