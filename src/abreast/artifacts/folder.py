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

from abreast.artifacts.interface import AGE, About, Artifacts
from abreast.core.errors import ArtifactError


class FolderArtifacts(Artifacts):
    """One folder for each artifact, below ``home``, named by its digest; beside it a note for each service."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def add(self, folder: Path, about: About) -> str:
        """Take the folder in, whole or not at all, and return its digest ``sha256:…``; the folder is gone then."""
        digest = digest_of(folder)
        self.put(folder, digest)
        self.describe(digest, about)
        return digest

    def put(self, folder: Path, digest: str) -> None:
        """Put a folder of that content in its place; it is gone then."""
        final = self.place(digest)
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if final.is_dir() and digest_of(final) != digest:
            shutil.rmtree(final)
        try:
            folder.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(folder)

    def has(self, digest: str) -> bool:
        """Tell whether the artifact can be had."""
        return self.place(digest).is_dir()

    def take(self, digest: str) -> Path:
        """Return where the artifact lies, each byte of it compared with the digest."""
        place = self.place(digest)
        if not place.is_dir():
            raise ArtifactError(
                f"the artifact {digest[:19]}… is gone", need="what was built for this release", next="abreast deploy"
            )
        found = digest_of(place)
        if found != digest:
            raise ArtifactError(
                f"the artifact {digest[:19]}… is not what was built: its content is {found[:19]}… now",
                need="every byte as it was tested",
                next=f"find out who wrote to {place}; then: abreast deploy --force",
            )
        return place

    def about(self, digest: str, service: str) -> About:
        """Return what is known of the artifact as the service's, nothing where that is not there."""
        with suppress(OSError, ValueError):
            known: dict[str, Any] = json.loads(self._note(digest, service).read_text())
            return known
        return {}

    def note(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add to what is known of the artifact as the service's."""
        self.describe(digest, {"service": service, **self.about(digest, service), **more})

    def describe(self, digest: str, about: About) -> None:
        """Put down what is known of the artifact as that service's, in place of what was."""
        _write(
            self._note(digest, about["service"]), json.dumps({"digest": digest, **about}, indent=1, ensure_ascii=False)
        )
        if inputs := about.get("inputs"):
            _write(self._made_from(inputs), digest)

    def made_from(self, inputs: str) -> str | None:
        """Return the artifact last made from these inputs, None where there is none."""
        with suppress(OSError):
            digest = self._made_from(inputs).read_text()
            return digest if self.has(digest) else None
        return None

    def forget(self, but: Collection[str], age: float = AGE) -> int:
        """Take away all artifacts but those, and those younger than ``age`` seconds; returns how many went."""
        known = [place for place in self._home.glob("*/") if _is_digest(place.name)]
        gone = [place for place in known if f"sha256:{place.name}" not in but and self._is_old(place, age)]
        for place in gone:
            going = place.with_name(f"{place.name}.going")  # whole, or not there at all
            with suppress(OSError):
                place.rename(going)
                shutil.rmtree(going)
            for note in self._notes(place):
                note.unlink(missing_ok=True)
        for made in (self._home / "inputs").glob("*"):
            if not self.has(made.read_text()):
                made.unlink(missing_ok=True)
        return len(gone)

    def _is_old(self, place: Path, age: float) -> bool:
        told = [note.stat().st_mtime for note in self._notes(place)] or [place.stat().st_mtime]
        return max(told) <= time.time() - age

    def place(self, digest: str) -> Path:
        """Return where the artifact lies, or would."""
        return self._home / digest.removeprefix("sha256:")

    def _note(self, digest: str, service: str) -> Path:
        return self._home / note_name(digest, service)

    def _notes(self, place: Path) -> list[Path]:
        return list(self._home.glob(f"{place.name}.*.json"))

    def _made_from(self, inputs: str) -> Path:
        return self._home / "inputs" / inputs


def note_name(digest: str, service: str) -> str:
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
