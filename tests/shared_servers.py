"""Servers that all processes of a session of tests share: who needs one first starts it, the session ends it."""

import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from limits import scaled

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw")
"""Tells what this process keeps on a shared server from what others do."""

GRACE_PERIOD = 2.0
"""Seconds between SIGTERM and SIGKILL."""

StartedServer = tuple[int, str]
"""The number of a server's process, and where it is reached."""


def shared_server(name: str, start: Callable[[Path], StartedServer]) -> str:
    """Return where a server is reached; ``start`` is given a folder for it, where it does not run yet."""
    folder = Path(tempfile.gettempdir())
    known = folder / f"{name}.server"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            home = folder / name
            home.mkdir()
            known.write_text(json.dumps(start(home)))
    return str(json.loads(known.read_text())[1])


def launch(argv: list[str], log: Path, **more: Any) -> int:  # noqa: ANN401 (what Popen takes)
    """Start a program that outlives this process, and return its pid."""
    command = ["/bin/sh", "-c", 'out=$1; shift; "$@" > "$out" 2>&1 < /dev/null & echo $!', "sh", str(log), *argv]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout)


def end_all(folder: Path) -> None:
    """End all of a session's servers: each is asked to, and killed if it takes its time."""
    pids = list(_pids(folder))
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + scaled(GRACE_PERIOD)
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)


def _pids(folder: Path) -> Iterator[int]:
    for known in folder.glob("*.server"):
        yield int(json.loads(known.read_text())[0])
