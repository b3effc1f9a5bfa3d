"""What happens while a dump is written."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Once:
    """Takes what is dumped, and does something when the first of it comes."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def write(self, chunk: bytes) -> int:
        if self._act:
            act, self._act = self._act, None
            act()
        return len(chunk)


def killing(program: str) -> Callable[[], None]:
    """Return what ends the program of this process that has this in its command."""

    def kill() -> None:
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may be gone by now
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                if program in (place / "cmdline").read_text() and int(fields[1]) == os.getpid():
                    os.kill(int(place.name), signal.SIGKILL)

    return kill
