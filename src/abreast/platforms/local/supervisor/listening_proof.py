"""The proof that an instance's own processes listen on its port, from the kernel's tables."""

import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial

from abreast.core.frozen_dataclass import dataclass
from abreast.machine.exit_watch import ExitWatch, watch_exit
from abreast.machine.kernel import SOCKETS
from abreast.machine.process import ProcessIdentity, process_groups


class SocketScan:
    """Who listens on which port, when it is first asked; of these process groups at least."""

    def __init__(self, groups: Collection[int]) -> None:
        self._groups = groups

    @cached_property
    def sockets_by_port(self) -> Mapping[int, set[str]]:
        """The names of listening sockets by port."""
        return SOCKETS.listening(self._pids())

    @cached_property
    def pids_by_group(self) -> Mapping[int, list[int]]:
        """The processes of each process group."""
        return process_groups(self._groups)

    def _pids(self) -> Iterator[int]:
        for pids in self.pids_by_group.values():
            yield from pids


class ListeningProof:
    """Holds while processes of a group have a socket open that listens on their port.

    Calls ``on_proven`` when it begins to hold. When it no longer does, calls ``on_lost`` with the socket, which still
    listens so that nobody else can, or with None if it could not be kept. The end of a process is noticed at once.
    """

    def __init__(self, on_proven: Callable[[], None], on_lost: Callable[[socket.socket | None], None]) -> None:
        self._on_proven, self._on_lost = on_proven, on_lost
        self._sockets: set[str] = set()
        self._owners: dict[int, _Owner] = {}
        self._kept: socket.socket | None = None

    @property
    def holds(self) -> bool:
        """Whether it was proven, and nothing has ended since."""
        return bool(self._sockets)

    def update(self, group: int, port: int, scan: SocketScan) -> None:
        """Look again."""
        listening = scan.sockets_by_port.get(port, set())
        if self.holds:
            if listening & self._sockets and any(owner.has_socket for owner in self._owners.values()):
                return
            listening &= self._sockets
        owners = self._find_owners(scan.pids_by_group.get(group, ()), listening) if listening else {}
        if not owners:
            self.drop()
        elif not self.holds:
            self._watch(owners)
            self._sockets = listening
            self._kept = next(iter(owners.values())).duplicate() if len(listening) == 1 else None
            self._on_proven()
        else:
            self._watch(owners)

    def drop(self) -> None:
        """Let it no longer hold."""
        self._watch({})
        if self.holds:
            self._sockets = set()
            kept, self._kept = self._kept, None
            self._on_lost(kept)

    def _watch(self, owners: "dict[int, _Owner]") -> None:
        """Watch these processes, and no others."""
        for owner in self._owners.values():
            owner.exit_watch.close()
        self._owners = owners

    def _on_owner_exit(self, pid: int) -> None:
        self._owners.pop(pid).exit_watch.close()
        if not self._owners:
            self.drop()

    def _find_owners(self, pids: Sequence[int], sockets: set[str]) -> "dict[int, _Owner]":
        found = {}
        for pid in pids:
            try:
                process = ProcessIdentity.from_pid(pid)  # before the look at its sockets: the pid may be reused
                opened = SOCKETS.of_process(pid)
                if name := next((name for name in opened if name in sockets), None):
                    exit_watch = watch_exit(process, partial(self._on_owner_exit, pid))
                    found[pid] = _Owner(pid, name, opened[name], exit_watch)
            except ProcessLookupError:
                continue
        return found


@dataclass(frozen=True, slots=True)
class _Owner:
    """A process that has a listening socket open."""

    pid: int
    name: str
    descriptor: int
    exit_watch: ExitWatch

    @property
    def has_socket(self) -> bool:
        """Whether it still has it open."""
        return SOCKETS.is_open(self.pid, self.name, self.descriptor)

    def duplicate(self) -> socket.socket | None:
        """Return the socket, shared with the process; None if the kernel does not allow it."""
        return SOCKETS.duplicate(self.pid, self.name, self.descriptor)
