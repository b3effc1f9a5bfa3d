"""Waits for the end of a process with pidfd_open(2)."""

import asyncio
import os
import sys
from collections.abc import Callable

from abreast.machine.process import ProcessIdentity

assert sys.platform == "linux"


class PidfdWatch:
    """Is told by the kernel. The pidfd stays the process's when its number goes to another one."""

    def __init__(self, process: ProcessIdentity, on_exit: Callable[[], None]) -> None:
        self._pidfd: int | None = os.pidfd_open(process.pid)
        self._on_exit = on_exit
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_readable)
        if not process.exists:
            self.close()
            raise ProcessLookupError(process.pid)

    def close(self) -> None:
        """Close the pidfd."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _on_readable(self) -> None:
        self.close()
        self._on_exit()
