"""Finds and ends the processes that a test session leaves running.

Every process of a session can be traced to the session's folder: most inherit it as ``TMPDIR``; the router, which
has no environment, uses it as its working directory.
"""

import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from limits import scaled

AT_END = ExitStack()
"""Closed by each test process after its last test."""

GRACE_PERIOD = 2.0
"""Seconds that processes which were told to end have for that."""

MEMORY = Path("/dev/shm")
"""A file system in memory, where creating and removing files costs less of a processor."""

NEEDED_IN_MEMORY = 8 << 30
"""Bytes that must be free in it: a session of all tests takes less than half."""


def make_folder() -> Path:
    """Create the session's folder and make it the place for temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="abreast-tests-", dir=MEMORY if _has_room() else None))
    folder.chmod(0o711)  # PostgreSQL runs as another user
    os.environ["TMPDIR"] = str(folder)
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    tempfile.tempdir = None
    return folder


def _has_room() -> bool:
    """Return whether files can be in memory: TMPDIR names no other place, programs run there, and enough is free."""
    if "TMPDIR" in os.environ or not os.path.ismount(MEMORY):
        return False
    about = os.statvfs(MEMORY)
    free = min(about.f_bavail * about.f_frsize, psutil.virtual_memory().available)
    return not about.f_flag & os.ST_NOEXEC and free > NEEDED_IN_MEMORY


def end_all(folder: Path) -> list[str]:
    """Kill the session's processes that are still running; return a line for each."""
    deadline = time.monotonic() + scaled(GRACE_PERIOD)
    while _processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    found: dict[int, str] = {}
    while left := _processes_of(folder):  # repeated, since a supervisor restarts what it supervises
        found |= left
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return list(found.values())


def remove(folder: Path, *, evidence: bool) -> None:
    """Remove the session's folder; of one that failed, keep the tests' own folders, and the logs of shared servers."""
    for place in (*folder.glob("tmp*/"), *folder.glob("*/data/")) if evidence else (folder,):
        shutil.rmtree(place, ignore_errors=evidence)


def _processes_of(folder: Path) -> dict[int, str]:
    """Return the session's processes except this one, by process id."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may be gone by now
            environment = (place / "environ").read_bytes().split(b"\0")
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            workdir = str((place / "cwd").readlink())
            belongs = (
                f"TMPDIR={folder}".encode() in environment or str(folder) in command or workdir.startswith(str(folder))
            )
            if belongs and int(place.name) != os.getpid():
                found[int(place.name)] = f"{place.name} in {workdir}: {command}"
    return found
