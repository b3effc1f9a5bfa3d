"""Linux processes: identities that survive pid reuse, and process groups."""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

ENDING_TIMEOUT = 10.0
"""Seconds to wait until killed processes have ended."""

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


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process identity that is never reused: pid, start time in ticks, boot id."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def from_pid(cls, pid: int) -> "ProcessIdentity":
        """Return the identity of ``pid``. Raises ProcessLookupError if there is no such process."""
        return cls(pid, int(_stat_fields(pid)[19]), boot_id())

    @property
    def exists(self) -> bool:
        """Whether this process is still there, running or as a zombie."""
        try:
            return ProcessIdentity.from_pid(self.pid) == self
        except ProcessLookupError:
            return False

    @property
    def is_alive(self) -> bool:
        """Whether this process still runs. A zombie does not."""
        try:
            return _stat_fields(self.pid)[0] != "Z" and ProcessIdentity.from_pid(self.pid) == self
        except ProcessLookupError:
            return False


@cache
def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def group_members(leader: ProcessIdentity, mark: Mapping[str, str]) -> list[int]:
    """Return the running processes of the group that a process leads or led, if they are proven to be of it.

    As long as the leader exists, the group's number is its own. After that, another group can have the number, so only
    processes that were started with the variables ``mark`` count. After a reboot, none does.
    """
    if not _has_members(leader.pid):
        return []
    members = process_groups().get(leader.pid, [])
    if leader.exists:
        return members
    if leader.boot != boot_id() or leader.pid in members or not mark:
        return []
    return [pid for pid in members if mark.items() <= process_environment(pid).items()]


def _has_members(group: int) -> bool:
    """Whether a process group has members, of whomever. The kernel knows at once; to find them takes a look at all."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def signal_group(leader: ProcessIdentity, mark: Mapping[str, str], sign: signal.Signals) -> None:
    """Send a signal to every process of a group (see ``group_members``). An empty group is fine."""
    with suppress(ProcessLookupError, PermissionError):
        if leader.exists:
            os.killpg(leader.pid, sign)
        else:
            for pid in group_members(leader, mark):
                os.kill(pid, sign)


def process_groups() -> dict[int, list[int]]:
    """Return the pids of all running processes by process group."""
    groups: dict[int, list[int]] = {}
    for pid in _pids():
        with suppress(ProcessLookupError):
            stat = _stat_fields(pid)
            if stat[0] != "Z":
                groups.setdefault(int(stat[2]), []).append(pid)
    return groups


def marked_processes(name: str, prefix: str) -> list[int]:
    """Return the running processes that were started with a variable whose value begins with ``prefix``."""
    marked = [pid for pid in _pids() if process_environment(pid).get(name, "").startswith(prefix)]
    return [pid for pid in marked if _is_running(pid)]


def end_marked_processes(name: str, prefix: str) -> None:
    """Kill the processes that were started with a variable whose value begins with ``prefix``, and all they started.

    Waits for the end of one that the kernel cannot end yet, but not for ever.
    """
    deadline = time.monotonic() + ENDING_TIMEOUT
    while (marked := marked_processes(name, prefix)) and time.monotonic() < deadline:
        for pid in marked:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return _stat_fields(pid)[0] != "Z"
    except ProcessLookupError:
        return False


def start_detached(argv: list[str], out: IO[bytes] | None = None) -> None:
    """Start a program detached: it outlives this process and leaves no zombie."""
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "sh", *argv],
        cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, check=True,
    )  # fmt: skip


def process_environment(pid: int) -> dict[str, str]:
    """Return the environment a process was started with, {} if it cannot be read."""
    with suppress(OSError):
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in (pair.partition(b"=") for pair in pairs)}
    return {}


def listening_sockets() -> dict[int, set[str]]:
    """Return the inodes of listening sockets by TCP port."""
    inodes: dict[int, set[str]] = {}
    try:
        listed = [entry for family in (socket.AF_INET, socket.AF_INET6) for entry in _sock_diag(family)]
    except OSError:  # an older kernel, or a sandbox
        listed = list(_proc_net_tcp())
    for port, inode in listed:
        inodes.setdefault(port, set()).add(inode)
    return inodes


def _sock_diag(family: int) -> Iterator[tuple[int, str]]:
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


def _proc_net_tcp() -> Iterator[tuple[int, str]]:
    """Yield port and inode of each listening socket, from /proc/net/tcp."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _TCP_LISTEN:
                    yield int(fields[1].rpartition(":")[2], 16), fields[9]


def owns_any_socket(pids: list[int], inodes: set[str]) -> bool:
    """Return whether one of the processes has one of the sockets open."""
    return any(socket_descriptors(pid).keys() & inodes for pid in pids)


def socket_descriptors(pid: int) -> dict[str, int]:
    """Return the sockets that a process has open, as descriptors by inode; none if it cannot be looked at."""
    found = {}
    folder = Path(f"/proc/{pid}/fd")
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 (an unfinished iterdir leaks its descriptor)
            with suppress(OSError):
                link = str((folder / name).readlink())
                if link.startswith("socket:["):
                    found[link[len("socket:[") : -1]] = int(name)
    return found


def duplicate_descriptor(pidfd: int, descriptor: int) -> int | None:
    """Return a descriptor of what another process has open; None if the kernel does not allow it (pidfd_getfd(2))."""
    number = int(ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0))
    return None if number < 0 else number


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (state) on; see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise ProcessLookupError(pid) from error
