"""The processes of a project, wherever they came from: for tests that kill them, and that look for what is left."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def processes_of(folder: Path) -> list[tuple[int, str]]:
    """Return the pid and the command line of each process that works in a folder or names it, except this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str((entry / "cwd").readlink()).startswith(str(folder)):
                found.append((int(entry.name), command))
    return found


def kill_everything_of(folder: Path) -> None:
    """Kill all processes of a folder so that none sees another one's end, nor starts another one meanwhile."""
    stopped = set[int]()
    while begun := {pid for pid, _ in processes_of(folder)} - stopped:
        for pid in begun:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= begun
    kill_at_once(stopped)


def kill_at_once(pids: Iterable[int]) -> None:
    """Kill processes so that none sees another one's end: all are stopped first."""
    known = list(pids)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in known:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
