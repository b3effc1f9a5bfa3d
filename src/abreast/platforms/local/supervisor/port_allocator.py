"""Allocates ports for instances, below the kernel's ephemeral range and locked against other supervisors."""

import itertools
import os
import pwd
import random
import socket
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.machine.file_lock import FileLock
from abreast.machine.kernel import SOCKETS
from abreast.machine.listeners import port_owner, refuse_connections

INSTANCE_PORTS = range(20000, 30000)
"""Ports reserved for instances behind the router."""


class PortAllocator:
    """Allocates ports of 127.0.0.1. A lock file per port reserves it among the supervisors of this user."""

    def __init__(self) -> None:
        self._folder = _state_folder() / "abreast" / "ports"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PlatformError(
                f"cannot create {self._folder}: {error.strerror}",
                need="a writable folder for the ports that are in use",
                next="set XDG_STATE_HOME to one",
            ) from error
        self._locks: dict[int, FileLock] = {}
        self._blockers: dict[int, socket.socket] = {}

    def allocate(self) -> int:
        """Reserve and return a free port. Raises PlatformError if none is left."""
        first = random.randrange(len(INSTANCE_PORTS))  # noqa: S311 (only spreads the load)
        for port in itertools.chain(INSTANCE_PORTS[first:], INSTANCE_PORTS[:first]):
            if self.reserve(port):
                if _is_free(port):
                    return port
                self.release(port)
        raise PlatformError(
            f"no free port between {INSTANCE_PORTS[0]} and {INSTANCE_PORTS[-1]}", next=SOCKETS.shell_command
        )

    def take(self, port: int) -> None:
        """Reserve this port. Raises PlatformError if another process listens on it, or another supervisor has it."""
        owner = port_owner(port) or ("" if self.reserve(port) else "another environment on this machine")
        if owner:
            raise PlatformError(
                f"port {port}, which its code listens on, is taken by {owner}",
                need="that port free, or code that listens on $PORT",
                next="stop that process, or read the environment variable PORT in the code",
            )

    def reserve(self, port: int) -> bool:
        """Lock a port against other supervisors. Returns False if it is locked already."""
        lock = FileLock(self._folder / str(port))
        if port in self._locks or not lock.try_acquire():
            return False
        self._locks[port] = lock
        return True

    def block(self, port: int, listening: socket.socket | None = None) -> bool:
        """Refuse connections to a port that lost its process, and let nobody listen on it until it is unblocked.

        ``listening`` is the socket of that process: with it, nobody could listen in between. Returns False if somebody
        listens on the port.
        """
        if port not in self._blockers:
            try:
                self._blockers[port] = refuse_connections(port, listening)
            except OSError:
                return False
        return True

    def unblock(self, port: int) -> None:
        """Let processes listen on the port again."""
        if blocker := self._blockers.pop(port, None):
            blocker.close()

    def release(self, port: int) -> None:
        """Release the port."""
        self.unblock(port)
        if lock := self._locks.pop(port, None):
            lock.release()


def _state_folder() -> Path:
    """Return this user's folder for state, which nobody else can write to, unlike the one for temporary files.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    if configured := os.environ.get("XDG_STATE_HOME", ""):
        return Path(configured)
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a user without an account, as in containers
        home = os.environ.get("HOME", "/")
    return Path(home) / ".local" / "state"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
