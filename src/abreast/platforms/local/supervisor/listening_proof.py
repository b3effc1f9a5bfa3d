"""The proof that an instance's own processes listen on its port, from the kernel's tables."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from functools import cached_property

from abreast.machine.process import duplicate_descriptor, listening_sockets, process_groups, socket_descriptors


class SocketScan:
    """Who listens on which port, at one moment."""

    def __init__(self) -> None:
        self.inodes_by_port: Mapping[int, set[str]] = listening_sockets()

    @cached_property
    def pids_by_group(self) -> Mapping[int, list[int]]:
        """The processes of each process group."""
        return process_groups()


class ListeningProof:
    """Holds while processes of a group have a socket open that listens on their port.

    Calls ``on_proven`` when it begins to hold. When it no longer does, calls ``on_lost`` with the socket, which still
    listens so that nobody else can, or with None if it could not be kept. The end of a process is noticed at once.
    """

    def __init__(self, on_proven: Callable[[], None], on_lost: Callable[[socket.socket | None], None]) -> None:
        self._on_proven, self._on_lost = on_proven, on_lost
        self._inodes: set[str] = set()
        self._owners: dict[int, _Owner] = {}
        self._kept: socket.socket | None = None

    @property
    def holds(self) -> bool:
        """Whether it was proven, and nothing has ended since."""
        return bool(self._inodes)

    def update(self, group: int, port: int, scan: SocketScan) -> None:
        """Look again."""
        listening = scan.inodes_by_port.get(port, set())
        if self.holds:
            if listening & self._inodes and any(owner.has_socket for owner in self._owners.values()):
                return
            listening &= self._inodes
        owners = _owners(scan.pids_by_group.get(group, ()), listening) if listening else {}
        if not owners:
            self.drop()
        elif not self.holds:
            self._watch(owners)
            self._inodes = listening
            self._kept = next(iter(owners.values())).duplicate() if len(listening) == 1 else None
            self._on_proven()
        else:
            self._watch(owners)

    def drop(self) -> None:
        """Let it no longer hold."""
        self._watch({})
        if self.holds:
            self._inodes = set()
            kept, self._kept = self._kept, None
            self._on_lost(kept)

    def _watch(self, owners: "dict[int, _Owner]") -> None:
        """Watch these processes, and no others."""
        loop = asyncio.get_running_loop()
        for owner in self._owners.values():
            loop.remove_reader(owner.pidfd)
            os.close(owner.pidfd)
        self._owners = owners
        for pid, owner in owners.items():
            loop.add_reader(owner.pidfd, self._on_owner_exit, pid)

    def _on_owner_exit(self, pid: int) -> None:
        remaining = {other: owner for other, owner in self._owners.items() if other != pid}
        ended = self._owners[pid]
        asyncio.get_running_loop().remove_reader(ended.pidfd)
        os.close(ended.pidfd)
        self._owners = remaining
        if not remaining:
            self.drop()


class _Owner:
    """A process that has a listening socket open."""

    def __init__(self, pid: int, descriptor: int, link: str) -> None:
        self.pidfd = os.pidfd_open(pid)
        self._descriptor, self._link, self._file = descriptor, link, f"/proc/{pid}/fd/{descriptor}"

    @property
    def has_socket(self) -> bool:
        """Whether it still has it open."""
        try:
            return os.readlink(self._file) == self._link  # noqa: PTH115 (once a second for each instance)
        except OSError:
            return False

    def duplicate(self) -> socket.socket | None:
        """Return the socket, shared with the process; None if the kernel does not allow it."""
        descriptor = duplicate_descriptor(self.pidfd, self._descriptor)
        return None if descriptor is None else socket.socket(fileno=descriptor)


def _owners(pids: "list[int] | tuple[int, ...]", inodes: set[str]) -> dict[int, _Owner]:
    found = {}
    for pid in pids:
        descriptors = {inode: number for inode, number in socket_descriptors(pid).items() if inode in inodes}
        for inode, number in descriptors.items():
            try:
                found[pid] = _Owner(pid, number, f"socket:[{inode}]")
            except ProcessLookupError:
                continue
            break
    return found
