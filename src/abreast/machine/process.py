"""Processes: identities that survive pid reuse, and process groups."""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import IO

from abreast.core.frozen_dataclass import dataclass
from abreast.machine.kernel import PROCESSES

ENDING_TIMEOUT = 10.0
"""Seconds to wait until killed processes have ended."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process identity that is never reused: pid, start time in the machine's own unit, boot id."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def from_pid(cls, pid: int) -> "ProcessIdentity":
        """Return the identity of ``pid``. Raises ProcessLookupError if there is no such process."""
        return cls(pid, PROCESSES.state(pid).start_ticks, boot_id())

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
            state = PROCESSES.state(self.pid)
        except ProcessLookupError:
            return False
        return not state.is_zombie and ProcessIdentity(self.pid, state.start_ticks, boot_id()) == self


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return PROCESSES.boot_id()


def group_members(leader: ProcessIdentity, mark: Mapping[str, str]) -> list[int]:
    """Return the running processes of the group that a process leads or led, if they are proven to be of it.

    As long as the leader exists, the group's number is its own. After that, another group can have the number, so only
    processes that were started with the variables ``mark`` count. After a reboot, none does.
    """
    if not _has_members(leader.pid):
        return []
    members = process_groups([leader.pid]).get(leader.pid, [])
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


def process_groups(groups: Collection[int]) -> dict[int, list[int]]:
    """Return the pids of the running processes of these process groups, by group."""
    found: dict[int, list[int]] = {}
    for pid in PROCESSES.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) in groups:  # a call of the kernel's; to read the state takes a hundred times as long
                state = PROCESSES.state(pid)
                if state.group in groups and not state.is_zombie:
                    found.setdefault(state.group, []).append(pid)
    return found


def marked_processes(name: str, prefix: str) -> list[int]:
    """Return the running processes that were started with a variable whose value begins with ``prefix``."""
    marked = [pid for pid in PROCESSES.pids() if PROCESSES.variables(pid, [name]).get(name, "").startswith(prefix)]
    return [pid for pid in marked if _is_running(pid)]


def started_with(variables: Iterable[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the running processes that were started with all of the variables, each with their values."""
    names = tuple(variables)
    for pid in PROCESSES.pids():
        found = PROCESSES.variables(pid, names)
        if len(found) == len(names) and _is_running(pid):
            yield pid, tuple(found[name] for name in names)


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
        return not PROCESSES.state(pid).is_zombie
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
    return PROCESSES.environment(pid)
