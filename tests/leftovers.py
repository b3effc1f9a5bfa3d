"""What a session of tests starts ends with it: all of its processes know its folder, and are looked for by that.

Most have it in their environment as ``TMPDIR``; a router, which gets none, works in it.
"""

import os
import signal
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from limits import scaled

AT_END = ExitStack()
"""What this process of tests ends when its last test is over."""

MOMENT = 2.0
"""Seconds in which what was told to end may still do so."""


def make_folder() -> Path:
    """Make the folder of a session, where from now on all that is temporary goes."""
    folder = Path(tempfile.mkdtemp(prefix="abreast-tests-"))
    folder.chmod(0o711)  # for a server that runs as another user
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    return folder


def end_all(folder: Path) -> list[str]:
    """End what is left of a session, and return what that was."""
    patient_until = time.monotonic() + scaled(MOMENT)
    while _of(folder) and time.monotonic() < patient_until:
        time.sleep(0.05)
    found: dict[int, str] = {}
    while left := _of(folder):  # one that is started again by another comes up in the next look
        found |= left
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return list(found.values())


def _of(folder: Path) -> dict[int, str]:
    """Return the processes that know the folder, but for this one."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may be gone by now
            told = (place / "environ").read_bytes().split(b"\0")
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((place / "cwd").readlink())
            knows = f"TMPDIR={folder}".encode() in told or str(folder) in command or where.startswith(str(folder))
            if knows and int(place.name) != os.getpid():
                found[int(place.name)] = f"{place.name} in {where}: {command}"
    return found
