"""Copies an instance's output through a named pipe into a log, redacted.

The instance holds the read end too. If the supervisor dies, writes still succeed and the output waits in the pipe
for the next supervisor.
"""

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from abreast.core.redaction.redactor import FLUSH_DELAY, Redactor
from abreast.machine.files import widen_pipe

PIPE_SIZE = 1 << 20
MAX_LOG_SIZE = 10 << 20
"""Size in bytes at which a log is rotated to ``.1``."""


class OutputPipe:
    """Copies from the pipe ``fifo`` to ``log`` while the loop runs."""

    def __init__(self, fifo: Path, log: Path, secrets: Iterable[str]) -> None:
        self._fifo, self._log = fifo, log
        self._redactor = Redactor(secrets)
        self._dropped_bytes = 0
        self._flush_timer: asyncio.TimerHandle | None = None
        if not fifo.exists():
            os.mkfifo(fifo, 0o600)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        widen_pipe(self._reader, PIPE_SIZE)
        # Our own writer keeps the pipe open between two runs of the instance.
        self._writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._reader, self._copy)

    def open_for_child(self) -> int:
        """Return a descriptor for the instance's output. The caller closes it."""
        return os.open(self._fifo, os.O_RDWR | os.O_CLOEXEC)

    def note(self, text: str) -> None:
        """Append a line of abreast's own."""
        self._copy()
        self._flush()
        self._append(f"[abreast: {text}]\n".encode())

    def close(self) -> None:
        """Copy the remaining output and delete the pipe."""
        self.detach()
        self._fifo.unlink(missing_ok=True)

    def detach(self) -> None:
        """Copy the remaining output; leave the pipe to the next supervisor."""
        self._copy()
        if self._flush_timer:
            self._flush_timer.cancel()
        self._flush()
        asyncio.get_running_loop().remove_reader(self._reader)
        os.close(self._reader)
        os.close(self._writer)

    def _copy(self) -> None:
        with suppress(BlockingIOError):
            while chunk := os.read(self._reader, 65536):
                self._append(self._redactor.feed(chunk))
        if self._redactor.has_buffered and self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_DELAY, self._flush)

    def _flush(self) -> None:
        """Write an incomplete last line."""
        self._flush_timer = None
        self._append(self._redactor.flush())

    def _append(self, text: bytes) -> None:
        """Append to the log. On a full disk, drop output and count the bytes rather than block the service."""
        if not text:
            return
        try:
            if self._log.exists() and self._log.stat().st_size > MAX_LOG_SIZE:
                self._log.replace(self._log.with_name(self._log.name + ".1"))
            notice = (
                f"[abreast: {self._dropped_bytes} bytes of output could not be written]\n"
                if self._dropped_bytes
                else ""
            )
            with self._log.open("ab", buffering=0) as log:
                log.write(notice.encode() + text)
            self._dropped_bytes = 0
        except OSError:
            self._dropped_bytes += len(text)
