"""Keeps compiled automata in a folder of the user's cache."""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

MAX_KEPT = 12
"""Automata to keep. A version of abreast has two."""


class AutomatonFolder:
    """An ``AutomatonStore``. Without a home, or if the folder cannot be used, it is empty and stays so.

    A file counts only if it is this user's, and nobody else may write to it. Its name contains the processor's
    features, since an automaton runs only on the processors that it was compiled for.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def load(self, key: str) -> bytes | None:
        """Return what was saved, or None."""
        with suppress(OSError, RuntimeError):
            descriptor = os.open(self._file(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return file.read() if _is_private(os.fstat(descriptor)) else None
        return None

    def save(self, key: str, content: bytes) -> None:
        """Save an automaton, or do nothing if that is not possible."""
        with suppress(OSError, RuntimeError):
            file = self._file(key)
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".")
            with os.fdopen(descriptor, "wb") as new:
                new.write(content)
            Path(name).replace(file)
            for outdated in _newest_first(file.parent)[MAX_KEPT:]:
                outdated.unlink()

    def _file(self, key: str) -> Path:
        return (self._folder or _user_folder()) / f"{key[:32]}-{_processor()}"


def _is_private(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)


def _user_folder() -> Path:
    """Return abreast's own folder for them (XDG Base Directory). Raises RuntimeError without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "abreast" / "automata"


@cache
def _processor() -> str:
    """Return a digest of the processor's features, as far as the system tells."""
    features = b""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
        features = next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")
    return hashlib.sha256(features).hexdigest()[:16]
