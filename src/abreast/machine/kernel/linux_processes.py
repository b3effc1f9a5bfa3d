"""Linux's processes: proc(5)."""

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from abreast.machine.kernel.interface import ProcessState, ProcessTable

assert sys.platform == "linux"

_VSIZE, _ENV_END = 23 - 3, 51 - 3
"""Places in ``_stat_fields``, which begin with the third field of proc(5)."""


_NO_LOGIN = 2**32 - 1


class LinuxProcessTable(ProcessTable):
    """Reads /proc. ``start_ticks`` counts clock ticks since the boot."""

    def boot_id(self) -> str:
        """Return the kernel's random id."""
        return _boot_id()

    def pids(self) -> list[int]:
        """Return the pids of all processes that this process may see."""
        return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]

    def state(self, pid: int) -> ProcessState:
        """Read /proc/PID/stat."""
        try:
            fields = _stat_fields(pid)
        except OSError as error:
            raise ProcessLookupError(pid) from error
        return ProcessState(int(fields[19]), int(fields[2]), fields[0] == "Z")

    def name(self, pid: int) -> str:
        """Read /proc/PID/comm."""
        try:
            return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
        except OSError:
            return "?"

    def told_environment(self, pid: int) -> bytes:
        """Read /proc/PID/environ."""
        try:
            return Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return b""

    def has_memory(self, pid: int) -> bool:
        """Read /proc/PID/stat."""
        with suppress(OSError):
            return _stat_fields(pid)[_VSIZE] != "0"
        return False

    def is_loading(self, pid: int) -> bool:
        """Read /proc/PID/stat: there is memory, unlike in a zombie, and no place of the environment in it yet.

        Of a process whose environment may not be read, the kernel never tells the place.
        """
        with suppress(OSError, IndexError):
            fields = _stat_fields(pid)
            is_loading = fields[_VSIZE] != "0" and fields[_ENV_END] == "0"
            if is_loading:
                Path(f"/proc/{pid}/environ").read_bytes()  # raises if it may not be read
            return is_loading
        return False

    def login(self) -> int | None:
        """Return the user of the session's login, which `sudo` does not change (pam_loginuid(8)). None without one."""
        try:
            login = int(Path("/proc/self/loginuid").read_text())
        except (OSError, ValueError):  # a kernel without auditing
            return None
        return None if login == _NO_LOGIN else login


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on. The second, a name, may be cut within a character."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
