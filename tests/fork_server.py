"""Runs commands of abreast by forking a process that has already imported abreast.

Each command is a process with its own working directory, environment and streams, but starts within milliseconds.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import abreast
import forked_supervisor
import leftovers
from abreast.core import codec
from abreast.core.backups import Backup
from abreast.core.events import Event
from abreast.core.model import Build, Failure, LiveService, Service, Version
from abreast.core.plan import Plan
from abreast.core.redaction.redactor import Redactor
from abreast.ledger.interface import Deployment, ReleasePart
from abreast.machine import tls
from abreast.platforms.local.router.routing_table import RoutingTable

LATE_IMPORTS = (
    "anyio._backends._asyncio", "cryptography.hazmat.primitives.asymmetric.ed25519", "encodings.idna",
    "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_8_sig", "envoy", "httpcore2", "obstore.store",
    "psycopg", "pydantic.dataclasses", "pydantic.type_adapter", "sqlglot.dialects.postgres", "sqlglot.dialects.sqlite",
    "sqlglot.optimizer.scope", "stamina.instrumentation", "tenacity.asyncio",
)  # fmt: skip
"""Modules that abreast's libraries import on first use."""

STORED_TYPES = (
    Backup, Build, Deployment, Event, Failure | None, LiveService, Plan, ReleasePart, RoutingTable, Service, Version,
    Version | Failure, list[Failure],
)  # fmt: skip
"""What commands store as JSON. To build a type's adapter takes milliseconds."""

NOTHING_TO_RESUME = 2
MOST_KILLS = 150
"""More kills than any command here has writes."""

HUGE_PAGE, MADV_COLLAPSE = 2 << 20, 25

SERVER_LOCK = threading.Lock()

KilledAt = tuple[str | None, str, int]
"""A file that lists writes, the moment ("before" or "after" a write), and the number of the write."""


class StartedCommand:
    """A running command of abreast, with the interface of ``subprocess.Popen``.

    ``killed_at`` kills it (before or after) at the write to the ledger of a number; with a file, of those writes that
    the file does not list (see ``crash_relay``).
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        killed_at: KilledAt | None = None,
        stdin: str = os.devnull,
        stdout: str,
        stderr: str,
    ) -> None:
        """The streams are paths of files or of a terminal, which becomes the controlling terminal."""
        self.args = ["abreast", *arguments]
        self.returncode: int | None = None
        order = {
            "folder": str(folder),
            "arguments": arguments,
            "variables": {**os.environ, **(variables or {})},
            "killed_at": killed_at,
            "streams": [stdin, stdout, stderr],
        }
        self._stdout = Path(stdout)
        self.pid = _ask_server(order)

    @property
    def output(self) -> str:
        """What the command has written to standard output so far."""
        return self._stdout.read_text()

    def poll(self) -> int | None:
        """Return the exit code, None while the command is running."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit and return the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                end = select.poll()  # select() takes no descriptor beyond 1,023
                end.register(pidfd, select.POLLIN)
                if not end.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
            finally:
                os.close(pidfd)
            self.returncode = _ask_server({"wait": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal if the command is still running."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process, but no process that it started, and wait for its end."""
        self.send_signal(signal.SIGKILL)
        self.wait()


def run_command(
    folder: Path,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    killed_at: KilledAt | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` and wait for its exit; fails the test on a traceback."""
    with tempfile.TemporaryDirectory() as outputs:
        stdout, stderr = f"{outputs}/stdout", f"{outputs}/stderr"
        command = StartedCommand(
            folder, *arguments, variables=variables, killed_at=killed_at, stdout=stdout, stderr=stderr
        )
        try:
            code = command.wait()
        except BaseException:  # the test timed out
            command.kill()
            raise
        done = subprocess.CompletedProcess(command.args, code, command.output, Path(stderr).read_text())
    assert "Traceback" not in done.stderr, done.stderr
    return done


def run_crash_relay(
    folder: Path,
    *arguments: str,
    moment: str = "before",
    first: int = 1,
    every: int = 1,
    variables: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Kill a command at its ``first`` write, resume it until the ``every``-th next write, and so on.

    Yields each exit code. If there is nothing to resume, the command is run again. ``moment`` is "before", "after" (see
    ``crash_relay``), or "both" in turn.
    """
    file = _writes_file(folder)
    for kill in range(MOST_KILLS):
        here = ("before", "after")[kill % 2] if moment == "both" else moment
        killed_at = (str(file), here, every if kill else first)
        code = run_command(folder, "resume", variables=variables, killed_at=killed_at).returncode
        if code == NOTHING_TO_RESUME:
            code = run_command(folder, *arguments, variables=variables, killed_at=killed_at).returncode
        yield code
        if code != -signal.SIGKILL:
            return
    raise AssertionError(f"no end after {MOST_KILLS} kills: {file.read_text()}")


def forget_relay(folder: Path) -> None:
    """Let the next relay kill at the same writes again."""
    _writes_file(folder).unlink()


def relay_writes(folder: Path) -> list[str]:
    """Return the names of the writes that a relay made or was killed at."""
    return _writes_file(folder).read_text().splitlines()


def _writes_file(folder: Path) -> Path:
    return folder.parent / "writes"


@cache
def _fork_server() -> subprocess.Popen[str]:
    leftovers.AT_END.callback(_stop_server)
    command = [sys.executable, __file__, forked_supervisor.ROOM]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _stop_server() -> None:
    """Stop the server, and with it the commands that it started."""
    if not _fork_server.cache_info().currsize:
        return
    server = _fork_server()
    _fork_server.cache_clear()
    server.kill()
    with suppress(BrokenPipeError):
        server.communicate()


def _prepare() -> None:
    """Import the modules, and build what commands build at first use; share all of it with them."""
    gc.disable()
    abreast_modules = (module.name for module in pkgutil.walk_packages(abreast.__path__, "abreast."))
    for name in (*abreast_modules, *LATE_IMPORTS, "crash_relay"):
        importlib.import_module(name)
    for kind in STORED_TYPES:
        codec._adapter(kind)
    Redactor().redact_text("x")
    tls.ssl_context()
    gc.freeze()
    gc.enable()
    _merge_pages()


def _merge_pages() -> None:
    """Have Linux keep this memory in pages of 2 MB, where it can: a fork copies the entries of all pages.

    See MADV_COLLAPSE in madvise(2). A command that writes to such a page still gets 4 kB of its own.
    """
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, *_, inode = line.split(maxsplit=5)[:5]
        start, end = (int(address, 16) for address in addresses.split("-"))
        first = -(-start // HUGE_PAGE) * HUGE_PAGE
        if (rights, inode) == ("rw-p", "0") and end - first >= HUGE_PAGE:
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t((end - first) // HUGE_PAGE * HUGE_PAGE), MADV_COLLAPSE)


def _ask_server(order: Mapping[str, Any]) -> int:
    """Send an order to the server: returns the process id of a started command, or the exit code of a finished one."""
    with SERVER_LOCK:
        server = _fork_server()
        assert server.stdin
        assert server.stdout
        try:
            server.stdin.write(json.dumps(order) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline())
        except BaseException:  # the test timed out: its answer must not reach the next order
            _stop_server()
            raise


def _serve() -> None:
    _prepare()
    supervisors = forked_supervisor.SupervisorServer()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                supervisors.install()
                _become_command(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become_command(order: dict[str, Any]) -> None:
    """Turn this forked process into the command, as a shell would start it."""
    code = 70
    try:
        os.setsid()
        forked_supervisor.end_with_parent()
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["variables"])
        for number, path in enumerate(order["streams"]):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY), number)
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.path[:0] = filter(None, order["variables"].get("PYTHONPATH", "").split(os.pathsep))
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, closefd=False)  # noqa: SIM115 (the process's own)
            for number, mode in enumerate("rww")
        )
        sys.argv[1:] = order["arguments"]
        code = _run_main(order["killed_at"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 (shown to the test)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run_main(killed_at: KilledAt | None) -> int:
    import crash_relay  # noqa: PLC0415
    from abreast.__main__ import main  # noqa: PLC0415
    from abreast.testing import crash  # noqa: PLC0415

    if killed_at is None:
        return main()
    file, moment, number = killed_at
    if file is None:
        return crash.main([str(number), moment, *sys.argv[1:]])
    return crash_relay.main(Path(file), moment, number, sys.argv[1:])


if __name__ == "__main__":
    _serve()
