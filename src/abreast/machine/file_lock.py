"""Lock files that are removed when they are released (flock(2))."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """A lock of one file, which exists only while somebody holds it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int | None:
        """The descriptor that holds the lock, None if it is not held. A process that inherits it holds the lock too."""
        return self._descriptor

    def try_acquire(self) -> bool:
        """Take the lock if it is free; return whether it was. The file is created."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed it meanwhile, and another may have created a new one.
            is_current = os.fstat(descriptor).st_ino == self._file.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            is_current = False
        if is_current:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return is_current

    def release(self) -> None:
        """Remove the file and let go of the lock. A lock that is not held stays as it is."""
        if self._descriptor is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None
