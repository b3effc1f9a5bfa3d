"""The guard: starts the keeper, and starts it again if it dies, so that a kill of either heals."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

LOCK_FILE = "supervisor.lock"
EXIT_ON_REQUEST = 0
"""The keeper's exit code when it was asked to end."""


def main(home: Path) -> int:
    """Guard until the keeper ends on purpose or ``home`` is gone; returns at once if another guard holds it."""
    with (home / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        command = [
            sys.executable,
            "-m",
            "abreast.platforms.local.supervisor.process_manager",
            str(home),
            str(os.getpid()),
        ]
        while subprocess.call(command, stdin=subprocess.DEVNULL) != EXIT_ON_REQUEST and home.is_dir():
            time.sleep(0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
