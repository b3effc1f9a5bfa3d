"""Answers that are looked for once, however many threads ask."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Remembered(Generic[P, T]):
    """``find``, called once for the same arguments. Who asks meanwhile waits; what raised is called again."""

    def __init__(self, find: Callable[P, T]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._answers: dict[object, Future[T]] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``find`` returned for these arguments, or raise what it raises."""
        question = (args, *kwargs.items())
        with self._lock:
            known = self._answers.get(question)
            answer = self._answers.setdefault(question, Future())
        if known is None:
            try:
                answer.set_result(self._find(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 (it is raised below)
                with self._lock:
                    del self._answers[question]
                answer.set_exception(error)
        return answer.result()
