"""Commands of abreast by fork: a process that has imported everything once makes each in a moment.

Each is a process of its own still, with its own folder, variables and output, to be killed like any other.
"""

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import leftovers
from abreast.machine import tls

PR_SET_PDEATHSIG = 1
"""See prctl(2)."""

LATE_IMPORTS = ("anyio._backends._asyncio", "dbos._sys_db_sqlite", "httpcore2", "psycopg", "pydantic.dataclasses")
"""What libraries import when they need it first."""

NOTHING_TO_RESUME = 2
MOST_KILLS = 150
"""More writes than any command here makes."""


def run_command(
    folder: Path,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    killed_at: tuple[int | Path, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` to its end, or until it is killed before or after a write to the ledger.

    Which write is its number, or the first that is not in a file (see ``crash_relay``).
    """
    with tempfile.TemporaryDirectory() as outputs:
        order = {
            "folder": str(folder),
            "arguments": arguments,
            "variables": {**os.environ, **(variables or {})},
            "killed_at": killed_at and (str(killed_at[0]), killed_at[1]),
            "outputs": outputs,
        }
        server = _fork_server()
        assert server.stdin
        assert server.stdout
        try:
            server.stdin.write(json.dumps(order) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
        except BaseException:  # the test was cut off: the command ends with it, and no later one gets its answer
            _stop_server()
            raise
        stdout, stderr = (Path(outputs, name).read_text() for name in ("stdout", "stderr"))
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(["abreast", *arguments], code, stdout, stderr)


def run_crash_relay(
    folder: Path, *arguments: str, moments: Sequence[str], variables: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Kill a command at its first write, what goes on from there at the next, and so on; yield each exit code.

    Where nothing is to be resumed, the command is given again. The moments are taken in turn.
    """
    file = _writes_file(folder)
    for number in range(MOST_KILLS):
        killed_at = (file, moments[number % len(moments)])
        code = run_command(folder, "resume", variables=variables, killed_at=killed_at).returncode
        if code == NOTHING_TO_RESUME:
            code = run_command(folder, *arguments, variables=variables, killed_at=killed_at).returncode
        yield code
        if code != -signal.SIGKILL:
            return
    raise AssertionError(f"no end after {MOST_KILLS} kills: {file.read_text()}")


def relay_writes(folder: Path) -> list[str]:
    """Return the writes at which a relay was killed."""
    return _writes_file(folder).read_text().splitlines()


def _writes_file(folder: Path) -> Path:
    return folder.parent / "writes"


@cache
def _fork_server() -> subprocess.Popen[str]:
    leftovers.AT_END.callback(_stop_server)
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _stop_server() -> None:
    """End the server, and with it the command that it runs."""
    if not _fork_server.cache_info().currsize:
        return
    server = _fork_server()
    _fork_server.cache_clear()
    server.kill()
    with suppress(BrokenPipeError):
        server.communicate()


def _prepare() -> None:
    """Import and read what every command does, and what takes long."""
    for name in ("abreast.cli.commands.deployments", "abreast.cli.views", "abreast.testing.crash", "crash_relay"):
        importlib.import_module(name)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    tls.ssl_context()


def _serve() -> None:
    _prepare()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become_command(json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _become_command(order: dict[str, Any]) -> None:
    """Become the command, as a shell would start it."""
    code = 70
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["variables"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(f"{order['outputs']}/{name}", os.O_WRONLY | os.O_CREAT), number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the process's own)
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


def _run_main(killed_at: tuple[str, str] | None) -> int:
    import crash_relay  # noqa: PLC0415
    from abreast.__main__ import main  # noqa: PLC0415
    from abreast.testing import crash  # noqa: PLC0415

    if killed_at is None:
        return main()
    write, moment = killed_at
    if write.isdecimal():
        return crash.main([write, moment, *sys.argv[1:]])
    return crash_relay.main(Path(write), moment, sys.argv[1:])


if __name__ == "__main__":
    _serve()
