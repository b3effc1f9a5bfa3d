"""Servers that all processes of a test session share. The first that needs one starts it; the session ends it."""

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
"""Names this test process, so that each has its own data on a shared server."""

GRACE_PERIOD = 2.0
"""Seconds between SIGTERM and SIGKILL."""

StartedServer = tuple[int, str]
"""A server's process id and its address."""


def shared_server(name: str, start: Callable[[Path], StartedServer]) -> str:
    """Return a server's address. If it is not running, ``start`` is called with a new folder for its data."""
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
    """Start a program that outlives this process; return its process id."""
    command = ["/bin/sh", "-c", 'out=$1; shift; "$@" > "$out" 2>&1 < /dev/null & echo $!', "sh", str(log), *argv]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout)


def end_all(folder: Path) -> None:
    """Stop all servers of a session: SIGTERM, then SIGKILL after the grace period."""
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
