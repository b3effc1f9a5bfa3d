"""Linux processes: identities that survive pid reuse, and process groups."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

_TCP_LISTEN = "0A"


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


def signal_group(group: int, sign: signal.Signals) -> None:
    """Send a signal to every process of a group. An empty group is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sign)


def is_group_empty(group: int) -> bool:
    """Return whether no process of the group runs. Zombies do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return True
    return group not in process_groups()


def process_groups() -> dict[int, list[int]]:
    """Return the pids of all running processes by process group."""
    groups: dict[int, list[int]] = {}
    for pid in _pids():
        with suppress(ProcessLookupError):
            stat = _stat_fields(pid)
            if stat[0] != "Z":
                groups.setdefault(int(stat[2]), []).append(pid)
    return groups


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
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _TCP_LISTEN:
                    inodes.setdefault(int(fields[1].rpartition(":")[2], 16), set()).add(fields[9])
    return inodes


def owns_any_socket(pids: list[int], inodes: set[str]) -> bool:
    """Return whether one of the processes has one of the sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return any(link in wanted for pid in pids for link in _open_files(pid))


def _open_files(pid: int) -> Iterator[str]:
    folder = Path(f"/proc/{pid}/fd")
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 (an unfinished iterdir leaks its descriptor)
            with suppress(OSError):
                yield str((folder / name).readlink())


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (state) on; see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise ProcessLookupError(pid) from error
