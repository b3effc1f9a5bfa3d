"""The compiled rules of kingfisher, of which each scan gets a copy of its own.

kingfisher maps the file into memory, so a scan dies of SIGBUS if another process writes to it.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

RULE_CACHE = "KF_RULE_CACHE_DIR"
"""kingfisher's variable for the folder."""

MAX_KEPT = 4
"""Versions of the rules to keep. Compiling takes seconds, and reading one milliseconds."""


def copy_rules(into: Path) -> None:
    """Copy the compiled rules that earlier scans left into the folder ``into``, as far as they can be read."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError, RuntimeError):
        for file in _kept_rules():
            shutil.copyfile(file, into / file.name)


def keep_rules(used: Path) -> None:
    """Keep what a scan compiled for later ones. Does nothing if the cache cannot be written."""
    with suppress(OSError, RuntimeError):
        known = {file.name for file in _kept_rules()}
        for file in used.iterdir():
            if file.is_file() and file.name not in known:
                _replace(file, _folder() / file.name)
        for outdated in _kept_rules()[MAX_KEPT:]:
            outdated.unlink()


def _kept_rules() -> list[Path]:
    """Return the kept rules, newest first."""
    folder = _folder()
    if not folder.is_dir():
        return []
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)


def _replace(file: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".")
    os.close(descriptor)
    shutil.copyfile(file, name)
    Path(name).replace(target)


def _folder() -> Path:
    """Return abreast's own folder for them (XDG Base Directory). Raises RuntimeError without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "abreast" / "kingfisher"
