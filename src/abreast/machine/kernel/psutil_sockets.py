"""The listening sockets of macOS, and of any other system that psutil knows. They are named PID:DESCRIPTOR:PORT."""

import socket
from collections.abc import Iterable, Iterator

import psutil

from abreast.machine.kernel.interface import SocketTable


class PsutilSocketTable(SocketTable):
    """Asks psutil about each process in turn: macOS tells a user nothing of other users' sockets."""

    shell_command = "lsof -nP -iTCP -sTCP:LISTEN"

    def listening(self, pids: Iterable[int] | None = None) -> dict[int, set[str]]:
        """Return the listening sockets of this user's processes by port."""
        names: dict[int, set[str]] = {}
        for pid in psutil.pids() if pids is None else pids:
            for name, _, port in _listening_sockets(pid):
                names.setdefault(port, set()).add(name)
        return names

    def of_process(self, pid: int) -> dict[str, int]:
        """Return those that listen."""
        return {name: descriptor for name, descriptor, _ in _listening_sockets(pid)}

    def is_open(self, pid: int, name: str, descriptor: int) -> bool:
        """Ask psutil about the process."""
        return self.of_process(pid).get(name) == descriptor

    def duplicate(self, pid: int, name: str, descriptor: int) -> socket.socket | None:  # noqa: ARG002 (the port's)
        """Return None: only Linux has it."""
        return None


def _listening_sockets(pid: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, descriptor and port of each socket of a process that listens; none if it cannot be looked at."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except (psutil.Error, OSError):
        return
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN:
            yield f"{pid}:{connection.fd}:{connection.laddr.port}", connection.fd, connection.laddr.port
