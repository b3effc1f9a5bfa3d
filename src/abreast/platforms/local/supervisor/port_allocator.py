"""Ports for instances: below the range that the kernel gives to clients, and held against other supervisors."""

import fcntl
import itertools
import os
import random
import socket
import stat
import tempfile
from pathlib import Path
from typing import IO

from abreast.core.errors import PlatformError
from abreast.platforms.local.settings import INSTANCE_PORTS


class PortAllocator:
    """Hands out ports of 127.0.0.1; a lock file per port keeps other supervisors of this user off it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"abreast-ports-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PlatformError(f"{self._folder} is not a folder of ours", need="it gone", next=f"rm {self._folder}")
        self._locks: dict[int, IO[str]] = {}

    def allocate(self) -> int:
        """Return a port that nobody listens on and nobody else was given; raises PlatformError if none is left."""
        first = random.randrange(len(INSTANCE_PORTS))  # noqa: S311 (any place will do)
        for port in itertools.chain(INSTANCE_PORTS[first:], INSTANCE_PORTS[:first]):
            if self.reserve(port):
                if _is_free(port):
                    return port
                self.release(port)
        raise PlatformError(f"no port of {INSTANCE_PORTS[0]} to {INSTANCE_PORTS[-1]} is free", next="ss -ltnp")

    def reserve(self, port: int) -> bool:
        """Lock a port, so that no other supervisor takes it; tells whether it is ours now."""
        if port in self._locks:
            return False
        file = (self._folder / str(port)).open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._locks[port] = file
        return True

    def release(self, port: int) -> None:
        """Let others have the port."""
        if file := self._locks.pop(port, None):
            file.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
