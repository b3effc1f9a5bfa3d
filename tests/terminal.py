"""A terminal: a real one, as a screen shows it."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pyte

from sample_project import SampleProject

CTRL_C = "\x03"


class Terminal:
    """A command of abreast at a terminal of its own, and what its screen shows."""

    def __init__(self, project: SampleProject, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        self._master_fd, slave_fd = os.openpty()
        self._screen = pyte.Screen(100, 40)
        fcntl.ioctl(slave_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            project.command_line(*arguments), cwd=project.folder, stdin=slave_fd, stdout=slave_fd, stderr=slave_fd,
            preexec_fn=lambda: os.login_tty(slave_fd),  # noqa: PLW1509 (it only makes the terminal the command's)
            env={**os.environ, **(variables or {}), "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave_fd)
        self._reader_thread = threading.Thread(target=self._read)
        self._reader_thread.start()

    def type(self, keys: str) -> None:
        os.write(self._master_fd, keys.encode())

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def shows(self, *texts: str) -> bool:
        """Whether one line shows all of the texts."""
        return any(all(text in line for text in texts) for line in self.lines)

    def close(self) -> None:
        self.process.kill()
        self._reader_thread.join()
        os.close(self._master_fd)

    def _read(self) -> None:
        stream = pyte.ByteStream(self._screen)
        with suppress(OSError):  # the terminal's other end is closed
            while chunk := os.read(self._master_fd, 65536):
                stream.feed(chunk)


@contextmanager
def print_screen_on_failure(terminal: Terminal) -> Iterator[None]:
    """Print the screen when what is expected of it does not come."""
    try:
        yield
    except BaseException:
        sys.stdout.write("\n".join(terminal.lines))
        raise
