"""Artifacts in a local folder."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from abreast.artifacts.interface import Artifacts


class FolderArtifacts(Artifacts):
    """One folder for each artifact, below ``home``, named by its digest."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def add(self, folder: Path) -> str:
        """Take the folder in, whole or not at all, and return its digest ``sha256:…``; the folder is gone then."""
        digest = digest_of(folder)
        final = self._place(digest)
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(folder)
        return digest

    def path(self, digest: str) -> Path | None:
        """Return where the artifact lies, None if it is not here."""
        place = self._place(digest)
        return place if place.is_dir() else None

    def _place(self, digest: str) -> Path:
        return self._home / digest.removeprefix("sha256:")


def digest_of(folder: Path) -> str:
    """Digest of a tree: over each entry's path, kind (with the executable bit) and content, in order of path."""
    whole = hashlib.sha256()
    for path in sorted(_entries(folder), key=lambda entry: entry.as_posix()):
        name = path.relative_to(folder).as_posix().encode(errors="surrogateescape")
        kind, content = _content(path)
        whole.update(b"%d %s%d %s%s" % (len(name), name, len(kind), kind, content))
    return f"sha256:{whole.hexdigest()}"


def _entries(folder: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        linked = [name for name in folders if (Path(base) / name).is_symlink()]
        yield from (Path(base) / name for name in (*files, *linked))


def _content(path: Path) -> tuple[bytes, bytes]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return b"link", hashlib.sha256(os.fsencode(path.readlink())).digest()
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
    return (b"program" if mode & 0o100 else b"file"), content
