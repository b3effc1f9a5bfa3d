"""Runs programs that write or read a dump; their output is streamed, their error output collected."""

import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from abreast.machine.files import widen_pipe

CHUNK_SIZE = 1 << 20
"""Bytes copied at once, and the capacity of a pipe."""


def run_program(
    command: Sequence[str], *, into: IO[bytes] | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program; return its exit code (negative: the signal that killed it) and its error output.

    It gets its own process group: Ctrl-C is for abreast, which ends a chapter before it stops.
    """
    with subprocess.Popen(
        command,
        env=env,
        process_group=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if into else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        error_output: list[bytes] = []
        error_reader = threading.Thread(target=lambda: error_output.append(process.stderr.read()))  # type: ignore[union-attr]
        error_reader.start()
        try:
            if into and process.stdout:
                widen_pipe(process.stdout.fileno(), CHUNK_SIZE)
                shutil.copyfileobj(process.stdout, into, CHUNK_SIZE)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
            error_reader.join()
    return code, b"".join(error_output).decode(errors="replace").strip()
