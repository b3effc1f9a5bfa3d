"""Commands of abreast by fork: a process that has imported everything once makes each in a moment.

Each is a process of its own still, with its own folder, variables and output, to be killed like any other.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT = 100
"""Seconds after which a command is killed."""


def run_command(
    folder: Path, *arguments: str, variables: Mapping[str, str] | None = None, killed_at: tuple[int, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` to its end, or until it is killed at that write to the ledger."""
    with tempfile.TemporaryDirectory() as outputs:
        order = {
            "folder": str(folder),
            "arguments": arguments,
            "variables": {**os.environ, **(variables or {})},
            "killed_at": killed_at,
            "outputs": outputs,
        }
        server = _fork_server()
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        stdout, stderr = (Path(outputs, name).read_text() for name in ("stdout", "stderr"))
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(["abreast", *arguments], code, stdout, stderr)


@cache
def _fork_server() -> subprocess.Popen[str]:
    parent = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(parent.communicate)
    return parent


def _serve() -> None:
    from abreast.cli import main, views  # noqa: F401, PLC0415 (what takes long to import)
    from abreast.cli.commands import deployments  # noqa: F401, PLC0415 (what takes long to import)
    from abreast.testing import crash  # noqa: F401, PLC0415

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
        signal.alarm(COMMAND_TIMEOUT)
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


def _run_main(killed_at: tuple[int, str] | None) -> int:
    from abreast.__main__ import main  # noqa: PLC0415
    from abreast.testing import crash  # noqa: PLC0415

    if killed_at is None:
        return main()
    return crash.main([str(killed_at[0]), killed_at[1], *sys.argv[1:]])


if __name__ == "__main__":
    _serve()
