"""The ports to the kernel's tables of processes and of listening sockets."""

import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import NamedTuple

LOADING_TIMEOUT = 2.0
LOADING_INTERVAL = 0.001
"""Seconds to wait for a program that is being loaded, and between two looks."""

LOADED_LOOKS = 4
"""Looks at a process that loads nothing and tells nothing, after which it has no environment."""


class ProcessState(NamedTuple):
    """A process at one moment.

    ``start_ticks`` is when it started, in the unit of its table: it never changes, and no later process that gets the
    same pid has the same. ``group`` is its process group.
    """

    start_ticks: int
    group: int
    is_zombie: bool


class ProcessTable(ABC):
    """The processes of this machine."""

    @abstractmethod
    def boot_id(self) -> str:
        """Return the id of this boot of the machine: no other boot has it."""

    @abstractmethod
    def pids(self) -> list[int]:
        """Return the pids of all processes."""

    @abstractmethod
    def state(self, pid: int) -> ProcessState:
        """Return the state of a process. Raises ProcessLookupError if there is none."""

    @abstractmethod
    def name(self, pid: int) -> str:
        """Return the name of a process's program, "?" if it cannot be read."""

    def environment(self, pid: int) -> dict[str, str]:
        """Return the environment a process was started with, {} if it cannot be read.

        The kernel tells none while it loads a program, so this waits until that is done, LOADING_TIMEOUT at most.
        """
        pairs = (pair.partition(b"=") for pair in self._loaded_environment(pid).split(b"\0"))
        return {os.fsdecode(name): os.fsdecode(value) for name, is_set, value in pairs if is_set}

    def variables(self, pid: int, names: Iterable[str]) -> dict[str, str]:
        """Return those of these variables that are in a process's ``environment``: there are many processes."""
        environment, found = b"\0" + self._loaded_environment(pid), {}
        for name in names:
            _, is_set, rest = environment.partition(f"\0{name}=".encode())
            if is_set:
                found[name] = os.fsdecode(rest.partition(b"\0")[0])
        return found

    def _loaded_environment(self, pid: int) -> bytes:
        deadline, loaded_looks = time.monotonic() + LOADING_TIMEOUT, 0
        while not (found := self.told_environment(pid)) and self.has_memory(pid):
            if self.is_loading(pid):
                time.sleep(LOADING_INTERVAL)
            else:
                loaded_looks += 1  # the end of loading may have been between both looks: look again
            if loaded_looks == LOADED_LOOKS or time.monotonic() >= deadline:
                break
        return found

    @abstractmethod
    def told_environment(self, pid: int) -> bytes:
        """Return the environment that the kernel tells at this moment: each NAME=value ends with a zero byte."""

    @abstractmethod
    def has_memory(self, pid: int) -> bool:
        """Whether a process has memory, where an environment could be. Zombies and the kernel's own have none."""

    @abstractmethod
    def is_loading(self, pid: int) -> bool:
        """Whether the kernel loads a program for a process at this moment. False if that cannot be told."""

    def login(self) -> int | None:
        """Return the id of the user who logged in and began this process, whoever it runs as. None if not told."""
        return None


class SocketTable(ABC):
    """The TCP sockets that listen on this machine, by names that mean something to this table only.

    Other users' sockets may be missing.
    """

    shell_command: str
    """The command that shows a person what listens."""

    @abstractmethod
    def listening(self, pids: Iterable[int] | None = None) -> Mapping[int, set[str]]:
        """Return the names of listening sockets by port; of these processes at least, if it is said which matter."""

    @abstractmethod
    def of_process(self, pid: int) -> Mapping[str, int]:
        """Return the sockets that a process has open, as descriptors by name; none if it cannot be looked at."""

    @abstractmethod
    def is_open(self, pid: int, name: str, descriptor: int) -> bool:
        """Return whether the process has this socket open under this descriptor."""

    @abstractmethod
    def duplicate(self, pid: int, name: str, descriptor: int) -> socket.socket | None:
        """Return the socket, shared with the process; None if the kernel does not allow it."""
