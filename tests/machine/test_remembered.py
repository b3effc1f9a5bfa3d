"""An answer is looked for once, and a failure is no answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from abreast.machine.remembered import Remembered


def test_all_who_ask_at_once_get_one_answer() -> None:
    asked, everybody = [], threading.Barrier(4)

    def find(name: str) -> str:
        asked.append(name)
        return name.upper()

    upper = Remembered(find)

    def ask(name: str) -> str:
        everybody.wait()
        return upper(name)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, ["a", "a", "a", "b"])) == ["A", "A", "A", "B"]
    assert sorted(asked) == ["a", "b"]


def test_a_failure_is_no_answer() -> None:
    outcomes: list[str | None] = [None, "up"]

    def find() -> str:
        if (outcome := outcomes.pop(0)) is None:
            raise OSError("down")
        return outcome

    state = Remembered(find)
    with pytest.raises(OSError, match="down"):
        state()
    assert (state(), state()) == ("up", "up")
