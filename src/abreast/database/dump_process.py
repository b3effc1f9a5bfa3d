"""Programs that write a dump, or read one: what they write goes on as it comes, what they say is heard."""

import fcntl
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

CHUNK_SIZE = 1 << 20
"""Bytes that are handed on at once, and that a pipe holds."""


def run_program(
    command: Sequence[str], *, into: IO[bytes] | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program to its end; returns its code (negative: a signal's number) and what it said on its error output.

    It has a group of its own: an interrupt at the terminal is for abreast, which ends a chapter before it stops.
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
                widen_pipe(process.stdout.fileno())
                shutil.copyfileobj(process.stdout, into, CHUNK_SIZE)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
            error_reader.join()
    return code, b"".join(error_output).decode(errors="replace").strip()


def widen_pipe(pipe: int) -> None:
    """Let a pipe hold a whole chunk, so that both ends work at once; it stays as it is where the system has no more."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK_SIZE)
