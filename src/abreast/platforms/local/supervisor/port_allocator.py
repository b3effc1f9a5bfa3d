"""Allocates ports for instances, below the kernel's ephemeral range and locked against other supervisors."""

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

INSTANCE_PORTS = range(20000, 30000)
"""Ports reserved for instances behind the router."""


class PortAllocator:
    """Allocates ports of 127.0.0.1. A lock file per port reserves it among the supervisors of this user."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"abreast-ports-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        status = self._folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise PlatformError(
                f"{self._folder} is not a folder of this user", need="that name to be free", next=f"rm {self._folder}"
            )
        self._locks: dict[int, IO[str]] = {}

    def allocate(self) -> int:
        """Reserve and return a free port. Raises PlatformError if none is left."""
        first = random.randrange(len(INSTANCE_PORTS))  # noqa: S311 (only spreads the load)
        for port in itertools.chain(INSTANCE_PORTS[first:], INSTANCE_PORTS[:first]):
            if self.reserve(port):
                if _is_free(port):
                    return port
                self.release(port)
        raise PlatformError(f"no free port between {INSTANCE_PORTS[0]} and {INSTANCE_PORTS[-1]}", next="ss -ltnp")

    def reserve(self, port: int) -> bool:
        """Lock a port against other supervisors. Returns False if it is locked already."""
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
        """Release the port."""
        if file := self._locks.pop(port, None):
            file.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
