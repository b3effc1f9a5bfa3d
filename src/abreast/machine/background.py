"""Work that is begun now, because its result is needed in any case, and waited for later."""

import threading
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """``work`` in a thread of its own, which does not keep the process alive."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._outcome: Callable[[], T] = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Wait for the work, and return what it returned or raise what it raised."""
        self._thread.join()
        return self._outcome()

    def _run(self) -> None:
        try:
            value = self._work()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is raised where the result is needed)
            self._outcome = _raising(error)
        else:
            self._outcome = lambda: value


def _raising(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail
