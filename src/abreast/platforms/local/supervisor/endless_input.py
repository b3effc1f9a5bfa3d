"""A standard input that never has anything, and never ends: what `docker run -i` gives without a terminal.

Programs with a prompt, and development servers, take the end of their input for the wish that they end.
"""

import os
from pathlib import Path


def open_endless_input(name: Path) -> int:
    """Return a descriptor to read from. The caller closes it; ``name`` is free for a pipe that is gone at once.

    It is open for writing too, so that the process itself keeps it from ending, whoever else ends.
    """
    fifo = name.with_name(f"{name.name}.in")
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo, 0o600)
    try:
        return os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
    finally:
        fifo.unlink()
