"""Linux's processes: proc(5)."""

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from abreast.machine.kernel.interface import ProcessState, ProcessTable

assert sys.platform == "linux"


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
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # from the third on
        except OSError as error:
            raise ProcessLookupError(pid) from error
        return ProcessState(int(fields[19]), int(fields[2]), fields[0] == "Z")

    def name(self, pid: int) -> str:
        """Read /proc/PID/comm."""
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return "?"

    def environment(self, pid: int) -> dict[str, str]:
        """Read /proc/PID/environ."""
        with suppress(OSError):
            pairs = (pair.partition(b"=") for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
            return {os.fsdecode(name): os.fsdecode(value) for name, is_set, value in pairs if is_set}
        return {}


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
