"""Commands of abreast by fork: a process that has imported everything once makes each in a moment.

For tests that run very many; each is a process of its own still, to be killed like any other.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from abreast.cli import deploying  # noqa: F401 (what takes long to import)
from abreast.cli.main import run
from abreast.testing import crash


class Forks:
    """Runs commands one after the other; ``close`` ends it."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, *arguments: str, killed_at: tuple[int, str] | None = None) -> tuple[int, str]:
        """Run a command in ``folder`` and return its exit code (negative: the signal) and what it printed."""
        assert self._parent.stdin
        assert self._parent.stdout
        order = {"folder": str(folder), "arguments": arguments, "killed_at": killed_at}
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        answer = json.loads(self._parent.stdout.readline())
        assert "Traceback" not in answer["output"], answer["output"]
        return answer["code"], answer["output"]

    def close(self) -> None:
        self._parent.communicate(timeout=10)


def _serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        output = Path(order["folder"]).parent / "output"
        child = os.fork()
        if child == 0:
            _be(order, output)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(json.dumps({"code": code, "output": output.read_text()}) + "\n")
        sys.stdout.flush()


def _be(order: dict[str, Any], output: Path) -> None:
    """Become the command, as a shell would start it."""
    code = 70
    try:
        os.setsid()
        os.chdir(order["folder"])
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the process's own)
        if order["killed_at"]:
            code = crash.main([str(order["killed_at"][0]), order["killed_at"][1], *order["arguments"]])
        else:
            code = run(order["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 (shown to the test)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
