"""Unix sockets with long paths."""

import os
from pathlib import Path


def short_socket_path(path: Path) -> str:
    """Return a path below the limit of 107 bytes for a socket in any folder.

    It is valid in this process only. It uses a descriptor of the folder, which stays open.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{path.name}"
