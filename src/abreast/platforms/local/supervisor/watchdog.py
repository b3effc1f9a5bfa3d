"""The watchdog: starts the process manager and restarts it when it dies. Each restarts the other."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

LOCK_FILE = "supervisor.lock"
EXIT_ON_REQUEST = 0
"""The process manager's exit code after a shutdown request."""


def main(home: Path) -> int:
    """Run the process manager until it is shut down or ``home`` is gone. Returns at once if another watchdog runs."""
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
