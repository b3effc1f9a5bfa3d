"""The processes of macOS, and of any other system that psutil knows."""

import os
import subprocess
from functools import cache

import psutil

from abreast.machine.kernel.interface import ProcessState, ProcessTable


class PsutilProcessTable(ProcessTable):
    """Asks psutil. ``start_ticks`` counts microseconds since 1970, as the kernel noted them at the start.

    psutil shifts them if the clock is set back or forth while this process runs. A process of ours is then not known as
    ours, and never the other way round.
    """

    def boot_id(self) -> str:
        """Return the kernel's random id on macOS, elsewhere the time of the boot."""
        return _boot_id()

    def pids(self) -> list[int]:
        """Return the pids of all processes."""
        return psutil.pids()

    def state(self, pid: int) -> ProcessState:
        """Ask psutil, and the kernel for the group. A zombie's group is 0: macOS does not tell it."""
        try:
            process = psutil.Process(pid)
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            return ProcessState(round(process.create_time() * 1e6), 0 if is_zombie else _group(pid), is_zombie)
        except (psutil.Error, OSError) as error:
            raise ProcessLookupError(pid) from error

    def name(self, pid: int) -> str:
        """Ask psutil."""
        try:
            return psutil.Process(pid).name()
        except (psutil.Error, OSError):
            return "?"

    def told_environment(self, pid: int) -> bytes:
        """Ask psutil. macOS hides the environment of its own programs, such as /bin/sh."""
        try:
            told = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return b""
        return b"".join(os.fsencode(f"{name}={value}\0") for name, value in told.items())

    def has_memory(self, pid: int) -> bool:
        """Ask psutil. It may not be told of a process of another user: then there may be memory."""
        try:
            return bool(psutil.Process(pid).memory_info().vms > 0)
        except psutil.AccessDenied:
            return True
        except (psutil.Error, OSError):
            return False

    def is_loading(self, pid: int) -> bool:
        """Ask psutil: there is memory, unlike in a zombie, and no command line yet."""
        try:
            process = psutil.Process(pid)
            is_loading = not process.cmdline() and process.memory_info().vms > 0
            if is_loading:
                process.environ()  # raises for a process of another user, of which the rest misleads
            return is_loading
        except (psutil.Error, OSError):
            return False


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:  # it has become a zombie
        return 0


@cache
def _boot_id() -> str:
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        told = ""
    return told or f"{psutil.boot_time():.0f}"
