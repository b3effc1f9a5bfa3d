"""Artifacts in a store that several machines share: S3, Google's or Azure's; a local folder keeps what is used here."""

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from abreast.artifacts.folder import FolderArtifacts, digest_of, note_name
from abreast.artifacts.interface import AGE, About, Artifacts
from abreast.core.errors import ArtifactError
from abreast.machine.objects import Objects

_ARCHIVE = ".tar.zst"


class RemoteArtifacts(Artifacts):
    """Puts each artifact into the store at ``url`` as a compressed archive."""

    def __init__(self, local: FolderArtifacts, url: str) -> None:
        self._local = local
        self._objects = Objects(url, "artifact store", ArtifactError)

    def add(self, folder: Path, about: About) -> str:
        """Take the folder in, here and there, and return its digest ``sha256:…``; the folder is gone then."""
        digest = self._local.add(folder, about)
        if not self._objects.has(_archive(digest)):
            with tempfile.TemporaryFile() as archive:
                from abreast.artifacts.archive import pack  # noqa: PLC0415 (only a store needs it)

                pack(self._local.take(digest), archive)
                archive.seek(0)
                self._objects.ask(lambda store: store.put(_archive(digest), archive))
        self._write_note(digest, about)
        return digest

    def has(self, digest: str) -> bool:
        """Tell whether the artifact can be had, here or there."""
        return self._local.has(digest) or self._objects.has(_archive(digest))

    def take(self, digest: str) -> Path:
        """Return where the artifact lies here, fetched if it was not, each byte compared with the digest."""
        with suppress(FileNotFoundError):  # it is gone there too, which the folder says
            if not self._local.has(digest):
                self._fetch(digest)
        return self._local.take(digest)

    def about(self, digest: str, service: str) -> About:
        """Return what is known of the artifact as the service's, nothing where that is not there."""
        found = self._objects.read(_note(digest, service))
        return json.loads(found) if found else self._local.about(digest, service)

    def note(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add to what is known of the artifact as the service's."""
        about = {"service": service, **self.about(digest, service), **more}
        self._local.describe(digest, about)
        self._write_note(digest, about)

    def made_from(self, inputs: str) -> str | None:
        """Return the artifact last made from these inputs, None where there is none."""
        if found := self._local.made_from(inputs):
            return found
        there = self._objects.read(f"inputs/{inputs}")
        digest = there.decode() if there else ""
        return digest if digest and self.has(digest) else None

    def forget(self, but: Collection[str], age: float = AGE) -> int:
        """Take away all artifacts but those, and young ones, here and there; returns how many went there."""
        self._local.forget(but, age)
        keep = {digest.removeprefix("sha256:") for digest in but}
        before = datetime.now(UTC) - timedelta(seconds=age)
        listed = self._objects.ask(lambda store: [one for page in store.list() for one in page])
        keep |= {_named(one["path"]) for one in listed if one["last_modified"] > before}
        paths = [one["path"] for one in listed if one["last_modified"] <= before]
        going = [path for path in paths if path.startswith("artifacts/") and _named(path) not in keep]
        stale = [
            path
            for path in paths
            if path.startswith("inputs/") and (self._objects.read(path) or b"").decode() not in but
        ]
        if all_ := [*going, *stale]:
            self._objects.ask(lambda store: store.delete(all_))
        return sum(path.endswith(_ARCHIVE) for path in going)

    def _fetch(self, digest: str) -> None:
        """Bring the artifact here; what is not its digest's content never gets a place of its own."""
        place = self._local.place(digest)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=place.parent, prefix="fetched-") as room,
            tempfile.TemporaryFile() as archive,
        ):
            self._objects.ask(lambda store: _copy(store, _archive(digest), archive))
            archive.seek(0)
            from abreast.artifacts.archive import unpack  # noqa: PLC0415 (only a store needs it)

            content = Path(room) / "content"
            with _whole(digest):
                unpack(archive, content)
            if (found := digest_of(content)) != digest:
                raise ArtifactError(
                    f"the artifact {digest[:19]}… in {self._objects.url} is not what was built, but {found[:19]}…",
                    need="every byte as it was tested",
                    next="abreast deploy --force",
                )
            self._local.put(content, digest)

    def _write_note(self, digest: str, about: About) -> None:
        self._objects.ask(
            lambda store: store.put(_note(digest, about["service"]), json.dumps({"digest": digest, **about}).encode())
        )
        if inputs := about.get("inputs"):
            self._objects.ask(lambda store: store.put(f"inputs/{inputs}", digest.encode()))


def _copy(store: Any, path: str, into: IO[bytes]) -> None:  # noqa: ANN401 (one of the library's stores)
    for chunk in store.get(path).stream():
        into.write(chunk)


def _archive(digest: str) -> str:
    return f"artifacts/{digest.removeprefix('sha256:')}{_ARCHIVE}"


def _note(digest: str, service: str) -> str:
    return f"artifacts/{note_name(digest, service)}"


def _named(path: str) -> str:
    """Return the digest's letters in the name of what is kept of an artifact."""
    return Path(path).name.partition(".")[0]


@contextmanager
def _whole(digest: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ArtifactError(
            f"the artifact {digest[:19]}… cannot be unpacked: {error}",
            need="the archive as it was put there",
            next="abreast deploy --force",
        ) from error
