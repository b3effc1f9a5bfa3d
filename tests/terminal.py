"""A real pseudo-terminal, and the screen that a user would see."""

import fcntl
import os
import struct
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pyte

from fork_server import StartedCommand
from sample_project import SampleProject

CTRL_C = "\x03"
CTRL_D = "\x04"


class Terminal:
    """A command of abreast in its own terminal."""

    def __init__(
        self, project: SampleProject, *arguments: str, variables: Mapping[str, str] | None = None, columns: int = 100
    ) -> None:
        self._master_fd, self._slave_fd = os.openpty()
        self._screen = pyte.Screen(columns, 40)
        fcntl.ioctl(self._slave_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        path = os.ttyname(self._slave_fd)
        self.process = StartedCommand(
            project.folder, *arguments, variables={**(variables or {}), "TERM": "xterm-256color", "COLUMNS": str(columns)},
            stdin=path, stdout=path, stderr=path,
        )  # fmt: skip
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
        os.close(self._slave_fd)
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
