"""One command of abreast in a process of its own, so that whatever becomes of it, the server goes on."""

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from abreast.core.frozen_dataclass import dataclass
from abreast.machine.tethered_program import TetheredProgram

PATIENCE = 10.0
"""Seconds that a command has to end by itself when it is cancelled."""

MAX_OUTPUT = 8 << 20
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command answered. ``code`` is None if it did not end in time; negative: the signal that killed it."""

    code: int | None
    stdout: str
    errors: Sequence[str]


class _Command(TetheredProgram):
    """A command that is told once that the server has ended.

    The kernel tells it once for each thread that is left when the thread that started it ends. The second time, a
    command takes that for a person who will not wait, and leaves what it runs.
    """

    needs_guard = True


async def run_command(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str], time_limit: float
) -> CommandOutput:
    """Run a command to its end, or until ``time_limit`` seconds passed or the caller is cancelled.

    It ends with this process, however that ends.
    """
    with tempfile.TemporaryFile() as stdout:
        command = [sys.executable, "-P", "-m", "abreast", *arguments]
        program = _Command(command, env=variables, cwd=folder, stdout=stdout, at_our_end=signal.SIGTERM)
        code = None
        try:
            with anyio.move_on_after(time_limit):
                code = await anyio.to_thread.run_sync(program.wait, abandon_on_cancel=True)
        finally:
            if program.is_running:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(_end, program)
        return CommandOutput(code, _read(stdout), program.error_lines)


def _end(program: TetheredProgram) -> None:
    """End a command and what it started."""
    program.stop(signal.SIGTERM, PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(MAX_OUTPUT).decode(errors="replace")
