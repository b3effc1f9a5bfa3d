"""Unix sockets with long paths: a socket's path is limited to 107 bytes on Linux, 103 on macOS."""

import atexit
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Provide a path below the limit for a socket in any folder. It is valid in this process, within the block."""
    with _short_folder(path.parent) as folder:
        yield f"{folder}/{path.name}"


def short_socket_path(path: Path) -> str:
    """Return a path below the limit for a socket in any folder. It is valid in this process, to its end."""
    return _OPEN.enter_context(short_path(path))


@contextmanager
def folder_by_descriptor(folder: Path) -> Iterator[str]:
    """Provide a path that leads through a descriptor of the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def folder_by_link(folder: Path) -> Iterator[str]:
    """Provide a path that leads through a link, in a folder that only this user can change."""
    with tempfile.TemporaryDirectory(prefix="abreast-", dir="/tmp") as place:  # $TMPDIR can be long
        link = Path(place, "to")
        link.symlink_to(folder.absolute())
        yield str(link)


_short_folder = folder_by_descriptor if sys.platform == "linux" else folder_by_link
_OPEN = ExitStack()
atexit.register(_OPEN.close)
