"""Removes folders that may be large, such as those with ``node_modules``, without keeping anybody waiting."""

import os
import time
from contextlib import suppress
from pathlib import Path

from abreast.machine.process import start_detached

GOING = ".going"
"""The end of the name of a folder that nobody needs any more."""

_REMOVE = 'chmod -R u+w "$@"; rm -rf "$@"'
"""Package managers make folders that cannot be written."""


def remove_soon(folder: Path, patience: float) -> None:
    """Remove a folder, and what earlier calls left beside it. It is out of the way at once, by another name.

    What is not gone after ``patience`` seconds is removed by a process that outlives this one. If that is killed, the
    next call goes on.
    """
    with suppress(OSError):  # it is missing, or stays
        folder.rename(folder.with_name(f"{folder.name}-{time.time_ns()}{GOING}"))
    deadline = time.monotonic() + patience
    left = [str(going) for going in folder.parent.glob(f"*{GOING}") if not _is_removed(going, deadline)]
    if left:
        with open(os.devnull, "wb") as nowhere, suppress(OSError):  # noqa: PTH123 (no file's path)
            start_detached(["/bin/sh", "-c", _REMOVE, "sh", *left], nowhere)


def _is_removed(folder: Path, deadline: float) -> bool:
    """Remove a folder until a deadline of the monotonic clock, and return whether it is gone."""
    for inside, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            if time.monotonic() > deadline:
                return False
            with suppress(OSError):
                _remove_entry(f"{inside}/{name}")
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _remove_entry(path: str) -> None:
    """Remove a file, a link, or an empty folder. One that is not empty is left."""
    try:
        os.unlink(path)  # noqa: PTH108 (of ten thousands)
    except (IsADirectoryError, PermissionError):  # the latter on macOS
        os.rmdir(path)  # noqa: PTH106 (as above)
