"""Types commands of a page in a shell. Those of abreast start by a fork, which takes a fraction of an interpreter."""

import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fork_server import StartedCommand
from limits import scaled

FOR_THE_SHELL = set("|&;<>()$`\\*?#\n")


def type_command(folder: Path, command: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it printed."""
    if command.startswith("abreast ") and not FOR_THE_SHELL & set(command):
        return _fork(folder, shlex.split(command)[1:], variables)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=scaled(120),
    )  # fmt: skip
    return done.returncode, done.stdout


def _fork(folder: Path, arguments: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as outputs:
        output = f"{outputs}/printed"
        command = StartedCommand(folder, *arguments, variables=variables, stdout=output, stderr=output)
        try:
            return command.wait(scaled(120)), command.output
        except BaseException:
            command.kill()
            raise
