"""Unix sockets in folders with long names."""

import os
from pathlib import Path


def short_socket_path(path: Path) -> str:
    """Return a name for the socket that is short enough (107 bytes), however deep its folder lies.

    It holds for this process; the folder's descriptor that it goes through stays open.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{path.name}"
