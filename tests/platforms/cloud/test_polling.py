"""How often a provider is asked: soon while few wait, and never more than it allows while many do."""

from contextlib import ExitStack
from itertools import islice

import pytest

from abreast.provider_api.polling import PollBudget


def test_one_who_waits_looks_soon_and_then_seldom() -> None:
    with PollBudget(1.0, 6).schedule(60) as pauses:
        told = list(pauses)
    assert told[0] < 0.1
    assert told == sorted(told)
    assert (told[-1], 59 < sum(told) < 62) == (1.0, True)


@pytest.mark.parametrize("count", [1, 6, 15, 50, 300])
def test_all_who_wait_stay_within_what_is_allowed(count: int) -> None:
    pace, looks = PollBudget(3.0, 15), 0
    with ExitStack() as waiting:
        all_ = [waiting.enter_context(pace.schedule(float("inf"))) for _ in range(count)]
        for pauses in all_:
            after = 0.0
            for pause in islice(pauses, 1000):
                if after >= 60:
                    break
                looks += 1
                after += pause
    assert looks <= 400


def test_who_is_done_leaves_room_for_the_others() -> None:
    pace = PollBudget(1.0, 1)
    with pace.schedule(1000) as pauses:
        with pace.schedule(1000):
            assert list(islice(pauses, 20))[-1] == 2.0
        assert next(pauses) == 1.0
