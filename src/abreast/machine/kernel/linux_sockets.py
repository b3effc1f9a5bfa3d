"""Linux's sockets: sock_diag(7), proc(5) and pidfd_getfd(2). Their names are inode numbers."""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from abreast.machine.kernel.interface import SocketTable

assert sys.platform == "linux"

_TCP_LISTEN = "0A"
_SYS_PIDFD_GETFD = 438
"""The same on all architectures (Linux 5.6)."""

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLMSG_DONE, _NLM_F_REQUEST_DUMP = 3, 0x301
_LISTEN_MASK = 1 << int(_TCP_LISTEN, 16)
_NETLINK_HEADER = struct.Struct("=IH10x")
_DIAG_REQUEST = struct.Struct("=IHHIIBBBxI48x")
"""The header, and struct inet_diag_req_v2, with the states that are asked for."""
_DIAG_PORT, _DIAG_INODE = (struct.Struct(">20xH"), struct.Struct("=84xI"))
"""Where the header and struct inet_diag_msg tell them."""


class LinuxSocketTable(SocketTable):
    """Asks the kernel; it tells of all users' sockets."""

    shell_command = "ss -ltnp"

    def listening(self, pids: Iterable[int] | None = None) -> dict[int, set[str]]:  # noqa: ARG002 (one look tells all)
        """Return the inodes of listening sockets by port."""
        inodes: dict[int, set[str]] = {}
        try:
            listed = [entry for family in (socket.AF_INET, socket.AF_INET6) for entry in ask_sock_diag(family)]
        except OSError:  # an older kernel, or a sandbox
            listed = list(proc_net_tcp())
        for port, inode in listed:
            inodes.setdefault(port, set()).add(inode)
        return inodes

    def of_process(self, pid: int) -> dict[str, int]:
        """Read /proc/PID/fd."""
        found = {}
        folder = Path(f"/proc/{pid}/fd")
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 (an unfinished iterdir leaks its descriptor)
                with suppress(OSError):
                    link = str((folder / name).readlink())
                    if link.startswith("socket:["):
                        found[link[len("socket:[") : -1]] = int(name)
        return found

    def is_open(self, pid: int, name: str, descriptor: int) -> bool:
        """Read one link of /proc/PID/fd."""
        try:
            return os.readlink(f"/proc/{pid}/fd/{descriptor}") == f"socket:[{name}]"  # noqa: PTH115 (once a second for each instance)
        except OSError:
            return False

    def duplicate(self, pid: int, name: str, descriptor: int) -> socket.socket | None:
        """Duplicate the descriptor, and check that it is of this socket: another process may have got the pid."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            copy = int(ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0))
        finally:
            os.close(pidfd)
        if copy < 0:
            return None
        if str(os.fstat(copy).st_ino) != name:
            os.close(copy)
            return None
        return socket.socket(fileno=copy)


def ask_sock_diag(family: int) -> Iterator[tuple[int, str]]:
    """Yield port and inode of each listening socket, from sock_diag(7). Raises OSError if the kernel lacks it.

    Reading /proc/net/tcp takes a hundred times as long, since the kernel walks its whole connection table.
    """
    size, tcp = _DIAG_REQUEST.size, socket.IPPROTO_TCP
    request = _DIAG_REQUEST.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 0, 0, family, tcp, 0, _LISTEN_MASK)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(request)
        while True:
            answer = kernel.recv(1 << 16)
            at = 0
            while at < len(answer):
                length, kind = _NETLINK_HEADER.unpack_from(answer, at)
                if kind == _NLMSG_DONE:
                    return
                if kind != _SOCK_DIAG_BY_FAMILY:
                    raise OSError("sock_diag failed")
                yield _DIAG_PORT.unpack_from(answer, at)[0], str(_DIAG_INODE.unpack_from(answer, at)[0])
                at += length + 3 & ~3


def proc_net_tcp() -> Iterator[tuple[int, str]]:
    """Yield port and inode of each listening socket, from /proc/net/tcp."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _TCP_LISTEN:
                    yield int(fields[1].rpartition(":")[2], 16), fields[9]
