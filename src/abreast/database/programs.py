"""Programs that write a dump, or read one: what they write goes on as it comes, what they say is heard."""

import fcntl
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

CHUNK = 1 << 20
"""Bytes that are handed on at once, and that a pipe holds."""


def program(
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
        said: list[bytes] = []
        hearing = threading.Thread(target=lambda: said.append(process.stderr.read()))  # type: ignore[union-attr]
        hearing.start()
        try:
            if into and process.stdout:
                widen(process.stdout.fileno())
                shutil.copyfileobj(process.stdout, into, CHUNK)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
            hearing.join()
    return code, b"".join(said).decode(errors="replace").strip()


def widen(pipe: int) -> None:
    """Let a pipe hold a whole chunk, so that both ends work at once; it stays as it is where the system has no more."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK)
