"""Artifacts in a local folder."""

import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from abreast.artifacts.interface import MIN_AGE, ArtifactMetadata, ArtifactStore
from abreast.core.errors import ArtifactError


class FolderArtifactStore(ArtifactStore):
    """One folder for each artifact, below ``home``, named by its digest; beside it a note for each service."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def add(self, folder: Path, metadata: ArtifactMetadata) -> str:
        """Take the folder in, whole or not at all, and return its digest ``sha256:…``; the folder is gone then."""
        digest = tree_digest(folder)
        self.put(folder, digest)
        self.write_metadata(digest, metadata)
        return digest

    def put(self, folder: Path, digest: str) -> None:
        """Put a folder of that content in its place; it is gone then."""
        final = self.path_of(digest)
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if final.is_dir() and tree_digest(final) != digest:
            shutil.rmtree(final)
        try:
            folder.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(folder)

    def has(self, digest: str) -> bool:
        """Tell whether the artifact can be had."""
        return self.path_of(digest).is_dir()

    def fetch(self, digest: str) -> Path:
        """Return where the artifact lies, each byte of it compared with the digest."""
        path = self.path_of(digest)
        if not path.is_dir():
            raise ArtifactError(
                f"the artifact {digest[:19]}… is gone", need="what was built for this release", next="abreast deploy"
            )
        found = tree_digest(path)
        if found != digest:
            raise ArtifactError(
                f"the artifact {digest[:19]}… is not what was built: its content is {found[:19]}… now",
                need="every byte as it was tested",
                next=f"find out who wrote to {path}; then: abreast deploy --force",
            )
        return path

    def metadata(self, digest: str, service: str) -> ArtifactMetadata:
        """Return what is known of the artifact as the service's, nothing where that is not there."""
        with suppress(OSError, ValueError):
            known: dict[str, Any] = json.loads(self._metadata_file(digest, service).read_text())
            return known
        return {}

    def annotate(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add to what is known of the artifact as the service's."""
        self.write_metadata(digest, {"service": service, **self.metadata(digest, service), **more})

    def write_metadata(self, digest: str, metadata: ArtifactMetadata) -> None:
        """Put down what is known of the artifact as that service's, in place of what was."""
        _write(
            self._metadata_file(digest, metadata["service"]),
            json.dumps({"digest": digest, **metadata}, indent=1, ensure_ascii=False),
        )
        if inputs := metadata.get("inputs"):
            _write(self._inputs_file(inputs), digest)

    def find_by_inputs(self, inputs: str) -> str | None:
        """Return the artifact last made from these inputs, None where there is none."""
        with suppress(OSError):
            digest = self._inputs_file(inputs).read_text()
            return digest if self.has(digest) else None
        return None

    def prune(self, keep: Collection[str], min_age: float = MIN_AGE) -> int:
        """Take away all artifacts but those, and those younger than ``age`` seconds; returns how many went."""
        known = [place for place in self._home.glob("*/") if _is_digest(place.name)]
        expired = [place for place in known if f"sha256:{place.name}" not in keep and self._is_old(place, min_age)]
        for folder in expired:
            trash = folder.with_name(f"{folder.name}.going")  # whole, or not there at all
            with suppress(OSError):
                folder.rename(trash)
                shutil.rmtree(trash)
            for metadata_file in self._metadata_files(folder):
                metadata_file.unlink(missing_ok=True)
        for inputs_file in (self._home / "inputs").glob("*"):
            if not self.has(inputs_file.read_text()):
                inputs_file.unlink(missing_ok=True)
        return len(expired)

    def _is_old(self, folder: Path, age: float) -> bool:
        mtimes = [note.stat().st_mtime for note in self._metadata_files(folder)] or [folder.stat().st_mtime]
        return max(mtimes) <= time.time() - age

    def path_of(self, digest: str) -> Path:
        """Return where the artifact lies, or would."""
        return self._home / digest.removeprefix("sha256:")

    def _metadata_file(self, digest: str, service: str) -> Path:
        return self._home / metadata_file_name(digest, service)

    def _metadata_files(self, folder: Path) -> list[Path]:
        return list(self._home.glob(f"{folder.name}.*.json"))

    def _inputs_file(self, inputs: str) -> Path:
        return self._home / "inputs" / inputs


def metadata_file_name(digest: str, service: str) -> str:
    """Return the file name of what is known of an artifact as a service's."""
    return f"{digest.removeprefix('sha256:')}.{service}.json"


def _is_digest(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _write(file: Path, text: str) -> None:
    """Put a text in place whole, or not at all."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.{id(text)}")
    unfinished.write_text(text)
    unfinished.replace(file)


def tree_digest(folder: Path) -> str:
    """Digest of a tree: over each entry's path, kind (with the executable bit) and content, in order of path."""
    whole = hashlib.sha256()
    for path in sorted(_entries(folder), key=lambda entry: entry.as_posix()):
        name = path.relative_to(folder).as_posix().encode(errors="surrogateescape")
        kind, content = _kind_and_digest(path)
        whole.update(b"%d %s%d %s%s" % (len(name), name, len(kind), kind, content))
    return f"sha256:{whole.hexdigest()}"


def _entries(folder: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        linked = [name for name in folders if (Path(base) / name).is_symlink()]
        yield from (Path(base) / name for name in (*files, *linked))


def _kind_and_digest(path: Path) -> tuple[bytes, bytes]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return b"link", hashlib.sha256(os.fsencode(path.readlink())).digest()
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
    return (b"program" if mode & 0o100 else b"file"), content
