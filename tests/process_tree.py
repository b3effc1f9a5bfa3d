"""The processes of a project, wherever they came from."""

import os
from pathlib import Path


def processes_of(folder: Path) -> list[tuple[int, str]]:
    """Return the pid and the command line of each process that works in a folder or names it, except this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str((entry / "cwd").readlink()).startswith(str(folder)):
                found.append((int(entry.name), command))
        except OSError:
            continue  # it has ended
    return found
