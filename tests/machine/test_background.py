"""Work in the background."""

import threading

import pytest

from abreast.machine.background import Background


def test_the_work_runs_meanwhile_and_its_result_is_waited_for() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert may_end.wait(20)
        return "done"

    background = Background(work)
    assert begun.wait(20)
    may_end.set()
    assert [background.result(), background.result()] == ["done", "done"]


def test_what_the_work_raises_is_raised_where_it_is_waited_for() -> None:
    background = Background(lambda: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        background.result()
