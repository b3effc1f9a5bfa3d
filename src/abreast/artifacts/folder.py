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
    """One folder per artifact below ``home``, named by digest, with a metadata file per service beside it."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def add(self, folder: Path, metadata: ArtifactMetadata) -> str:
        """Move ``folder`` into the store, all or nothing, and return its digest ``sha256:…``."""
        digest = tree_digest(folder)
        self.put(folder, digest)
        self.write_metadata(digest, metadata)
        return digest

    def put(self, folder: Path, digest: str) -> None:
        """Move a folder whose content has this digest into the store; a damaged copy there is replaced."""
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
        """Return whether the store has the artifact."""
        return self.path_of(digest).is_dir()

    def fetch(self, digest: str) -> Path:
        """Return the artifact's folder, its content verified against ``digest``."""
        path = self.path_of(digest)
        if not path.is_dir():
            raise ArtifactError(
                f"the artifact {digest[:19]}… is gone from the store",
                need="the artifact that was built for this release",
                next="abreast deploy",
            )
        actual = tree_digest(path)
        if actual != digest:
            raise ArtifactError(
                f"the artifact {digest[:19]}… is not what was built: its content now has the digest {actual[:19]}…",
                need="the content that was tested",
                next=f"find out what wrote to {path}, then: abreast deploy --force",
            )
        return path

    def metadata(self, digest: str, service: str) -> ArtifactMetadata:
        """Return the artifact's metadata for a service, empty if there is none."""
        with suppress(OSError, ValueError):
            metadata: dict[str, Any] = json.loads(self._metadata_file(digest, service).read_text())
            return metadata
        return {}

    def annotate(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add ``more`` to the artifact's metadata for a service."""
        self.write_metadata(digest, {"service": service, **self.metadata(digest, service), **more})

    def write_metadata(self, digest: str, metadata: ArtifactMetadata) -> None:
        """Replace the artifact's metadata for ``metadata["service"]``."""
        _write(
            self._metadata_file(digest, metadata["service"]),
            json.dumps({"digest": digest, **metadata}, indent=1, ensure_ascii=False),
        )
        if inputs := metadata.get("inputs"):
            _write(self._inputs_file(inputs), digest)

    def attestation(self, digest: str) -> str | None:
        """Return the artifact's attestation, a Sigstore bundle as JSON; None if it has none."""
        with suppress(OSError):
            return (self._home / attestation_file_name(digest)).read_text()
        return None

    def attach_attestation(self, digest: str, bundle: str) -> None:
        """Store an attestation beside the artifact, in place of the one that it may have."""
        _write(self._home / attestation_file_name(digest), bundle)

    def find_by_inputs(self, inputs: str) -> str | None:
        """Return the digest of the artifact last built from these inputs, None if there is none."""
        with suppress(OSError):
            digest = self._inputs_file(inputs).read_text()
            return digest if self.has(digest) else None
        return None

    def prune(self, keep: Collection[str], min_age: float = MIN_AGE) -> int:
        """Delete artifacts not in ``keep`` that are older than ``min_age`` seconds; return the number deleted."""
        stored = [folder for folder in self._home.glob("*/") if _is_digest(folder.name)]
        expired = [folder for folder in stored if f"sha256:{folder.name}" not in keep and self._is_old(folder, min_age)]
        for folder in expired:
            trash = folder.with_name(
                f"{folder.name}.going"
            )  # renamed first, so that a partly deleted artifact is never used
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
        mtimes = [file.stat().st_mtime for file in self._metadata_files(folder)] or [folder.stat().st_mtime]
        return max(mtimes) <= time.time() - age

    def path_of(self, digest: str) -> Path:
        """Return the artifact's folder, whether or not it exists."""
        return self._home / digest.removeprefix("sha256:")

    def _metadata_file(self, digest: str, service: str) -> Path:
        return self._home / metadata_file_name(digest, service)

    def _metadata_files(self, folder: Path) -> list[Path]:
        return list(self._home.glob(f"{folder.name}.*.json"))

    def _inputs_file(self, inputs: str) -> Path:
        return self._home / "inputs" / inputs


def metadata_file_name(digest: str, service: str) -> str:
    """Return the name of the metadata file of an artifact for a service."""
    return f"{digest.removeprefix('sha256:')}.{service}.json"


def attestation_file_name(digest: str) -> str:
    """Return the name of the file with an artifact's attestation. No service has a name with a dot."""
    return f"{digest.removeprefix('sha256:')}.bundle.sigstore.json"


def _is_digest(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")


def _write(file: Path, text: str) -> None:
    """Write a text file atomically."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.{id(text)}")
    unfinished.write_text(text)
    unfinished.replace(file)


def tree_digest(folder: Path) -> str:
    """Return the digest of a folder: SHA-256 of its manifest."""
    digest = hashlib.sha256()
    for entry in tree_manifest(folder):
        digest.update(entry)
    return f"sha256:{digest.hexdigest()}"


def tree_manifest(folder: Path) -> Iterator[bytes]:
    """Yield what identifies a folder: each entry's path, kind (with the executable bit) and SHA-256, sorted by path."""
    for path in sorted(_entries(folder), key=lambda entry: entry.as_posix()):
        name = path.relative_to(folder).as_posix().encode(errors="surrogateescape")
        kind, content = _kind_and_digest(path)
        yield b"%d %s%d %s%s" % (len(name), name, len(kind), kind, content)


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
