"""Waits for the end of any process, without reaping it."""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

from abreast.machine.process import ProcessIdentity

POLL_INTERVAL = 0.02
"""Seconds between two looks, where the kernel does not tell."""


class ExitWatch(Protocol):
    """A process whose end is waited for."""

    def close(self) -> None:
        """Wait no longer. A second call changes nothing."""


class PollingWatch:
    """Looks again and again."""

    def __init__(self, process: ProcessIdentity, on_exit: Callable[[], None]) -> None:
        if not process.exists:
            raise ProcessLookupError(process.pid)
        self._process, self._on_exit = process, on_exit
        self._timer: asyncio.Handle = asyncio.get_running_loop().call_soon(self._look)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._process.is_alive:
            self._timer = asyncio.get_running_loop().call_later(POLL_INTERVAL, self._look)
        else:
            self._on_exit()


def watch_exit(process: ProcessIdentity, on_exit: Callable[[], None]) -> ExitWatch:
    """Call ``on_exit`` once from the running event loop when a process has ended, be it a zombie.

    Raises ProcessLookupError if it is gone.
    """
    return PlatformWatch(process, on_exit)


if sys.platform == "linux":
    from abreast.machine.pidfd_watch import PidfdWatch as PlatformWatch
else:
    PlatformWatch = PollingWatch
