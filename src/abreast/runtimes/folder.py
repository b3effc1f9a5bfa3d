"""What installs made, in a local folder."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from abreast.core.errors import ArtifactError
from abreast.core.frozen_dataclass import dataclass
from abreast.machine.file_lock import FileLock
from abreast.machine.process import end_marked_processes
from abreast.machine.tethered_program import TetheredProgram
from abreast.runtimes.interface import InstallStore
from abreast.runtimes.spares import Spares

MAX_BYTES = 5 << 30
"""How much is kept for builds to come, beside what artifacts need."""
MIN_AGE = 3600.0
"""Seconds after its last use for which an install is kept in any case: a build may be about to use it."""

_MARK = "ABREAST_INSTALL"
_DONE = "complete.json"
_BEFORE = "before.json"


@dataclass(frozen=True, slots=True)
class FolderInstallStore(InstallStore):
    """One folder per key below ``home``: ``python`` (an environment), ``left`` and ``spares`` (copies), a last note."""

    home: Path
    max_bytes: int = MAX_BYTES
    min_age: float = MIN_AGE

    @contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Try to take the lock of a key for the block; whether it was free."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(self.home / f"{key}.lock")
        try:
            yield lock.try_acquire()
        finally:
            lock.release()

    def mark(self, key: str) -> Mapping[str, str]:
        """Return a variable for commands that fill a key: ``begin`` ends those that a killed process left."""
        return {_MARK: f"{self.home / key}/"}

    def python_folder(self, key: str) -> Path:
        """Return the folder of a key's Python environment, whether or not it exists. It never moves."""
        return self.home / key / "python"

    def is_complete(self, key: str) -> bool:
        """Return whether a key can be used: not if it was moved, or if the interpreter of its environment is gone."""
        done = _read(self.home / key / _DONE)
        has_python = (self.python_folder(key) / "bin/python").exists()
        return done.get("place") == str(self.home / key) and done.get("python") == has_python

    def begin(self, key: str, checkout: Path, inputs: Collection[str]) -> None:
        """Remove what an interrupted install left of a key, and note the state of ``checkout`` before the install."""
        folder = self.home / key
        end_marked_processes(_MARK, f"{folder}/")
        _remove(folder)
        folder.mkdir(mode=0o700, parents=True)
        state = {name: _state(checkout / name, content=name in inputs) for name in _entries(checkout)}
        (folder / _BEFORE).write_text(json.dumps(state))

    def changed_files(self, key: str, checkout: Path) -> Sequence[str]:
        """Return the files of the checkout that the install changed or removed."""
        before = _read(self.home / key / _BEFORE)
        return [
            name
            for name, state in before.items()
            if _state(checkout / name, content=str(state).startswith("sha256:")) != state
        ]

    def complete(self, key: str, checkout: Path) -> None:
        """Keep a copy of what the install left in ``checkout``, and mark the key complete."""
        folder = self.home / key
        before = _read(folder / _BEFORE)
        for name in _new_entries(checkout, before):
            _copy(checkout / name, folder / "left" / name)
        (folder / _BEFORE).unlink()
        size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
        os.sync()  # a note that survives a power failure must not stand for files that did not
        python = (self.python_folder(key) / "bin/python").exists()
        _write(folder / _DONE, {"place": str(folder), "python": python, "bytes": size})
        self._spares(key).want()

    def restore(self, key: str, checkout: Path) -> None:
        """Put what a complete install left into a clean checkout: a spare copy if there is one, or a new one."""
        os.utime(self.home / key / _DONE)
        left, spares = self.home / key / "left", self._spares(key)
        if not left.is_dir():
            return
        spares.want()
        spare = spares.take()
        for name in list(_new_entries(left, _directories_of(left, checkout))):
            if os.path.lexists(checkout / name):  # what the commit has itself counts
                continue
            if spare is None or not _move(spare / name, checkout / name):
                _copy(left / name, checkout / name)
        if spare:
            shutil.rmtree(spare, ignore_errors=True)

    def prepare(self) -> None:
        """Make spare copies for the next deployment, which will use what the last one did."""
        for folder in self.home.glob("*/spares"):
            key = folder.parent.name
            with self.lock(key) as free:
                if free and self.is_complete(key) and (self.home / key / "left").is_dir():
                    self._spares(key).prepare(self.home / key / "left", _copy)

    def _spares(self, key: str) -> Spares:
        return Spares(self.home / key / "spares")

    def reference(self, key: str, artifact: str) -> None:
        """Keep a key as long as an artifact that runs with it."""
        users = self.home / key / "artifacts"
        users.mkdir(mode=0o700, exist_ok=True)
        (users / artifact.removeprefix("sha256:")).touch()

    def prune(self, artifacts: Collection[str]) -> int:
        """Delete keys that no artifact in ``artifacts`` needs and that were used longest ago; return their number."""
        needed = {artifact.removeprefix("sha256:") for artifact in artifacts}
        folders = [path for path in self.home.glob("*/") if not path.name.endswith(".going")]
        spare = sorted((path for path in folders if not _has_any(path / "artifacts", needed)), key=_last_use)[::-1]
        total, removed = 0, 0
        for folder in spare:
            total += int(_read(folder / _DONE).get("bytes", 0)) * (1 + self._spares(folder.name).count)
            recent = _last_use(folder) > time.time() - self.min_age
            if not recent and (total > self.max_bytes or not (folder / _DONE).exists()):
                removed += self._remove_unless_locked(folder.name)
        return removed

    def _remove_unless_locked(self, key: str) -> bool:
        with self.lock(key) as free:
            if free:
                _remove(self.home / key)
        return free


def _remove(folder: Path) -> None:
    """Remove a folder, renamed first: one that is partly deleted must not look complete."""
    going = folder.with_name(f"{folder.name}.going")
    shutil.rmtree(going, ignore_errors=True)
    with suppress(FileNotFoundError):
        folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _entries(folder: Path) -> Iterator[str]:
    """Yield the relative paths of all files and folders."""
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield (Path(base) / name).relative_to(folder).as_posix()


def _new_entries(folder: Path, before: Mapping[str, Any]) -> Iterator[str]:
    """Yield the topmost files and folders that are not in ``before``."""
    for base, folders, files in os.walk(folder):
        names = [(name, (Path(base) / name).relative_to(folder).as_posix()) for name in (*folders, *files)]
        new = {name for name, path in names if path not in before}
        folders[:] = [name for name in folders if name not in new]
        yield from (path for name, path in names if name in new)


def _directories_of(left: Path, checkout: Path) -> Mapping[str, Any]:
    """Return the folders below ``left`` that the checkout has too."""
    return {name: "" for name in _entries(left) if (checkout / name).is_dir() and not (checkout / name).is_symlink()}


def _state(path: Path, *, content: bool) -> str:
    """Return what tells that a file was changed; "" for a folder, whose content counts by itself."""
    try:
        if path.is_dir() and not path.is_symlink():
            return ""
        if content:
            return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        found = path.lstat()
    except OSError:
        return "gone"
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder with times, permissions and links.

    ``cp`` takes half of the time that Python does, and none where the file system shares the blocks of copies. It ends
    with this process: the next one would write into the same folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    copying = TetheredProgram([shutil.which("cp") or "/bin/cp", "-a", str(source), str(target)], env=os.environ)
    if copying.wait():
        raise ArtifactError(f"cannot copy {source.name}: {copying.complaint}", need="free space on the disk")


def _move(source: Path, target: Path) -> bool:
    """Rename a file or a folder. Returns False if that cannot be done, such as to another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError:
        return False
    return True


def _read(file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return dict(json.loads(file.read_text()))
    return {}


def _write(file: Path, content: object) -> None:
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(content))
    unfinished.replace(file)


def _last_use(folder: Path) -> float:
    for file in (folder / _DONE, folder):
        with suppress(OSError):
            return file.stat().st_mtime
    return 0.0


def _has_any(users: Path, artifacts: Collection[str]) -> bool:
    return users.is_dir() and any(user.name in artifacts for user in users.iterdir())
