"""Artifacts in an object store that machines share (S3, GCS, Azure), with a local folder as cache."""

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from abreast.artifacts.folder import FolderArtifactStore, attestation_file_name, metadata_file_name, tree_digest
from abreast.artifacts.interface import MIN_AGE, ArtifactMetadata, ArtifactStore
from abreast.core.errors import ArtifactError
from abreast.storage.object_store import ObjectStore

_ARCHIVE = ".tar.zst"


class RemoteArtifactStore(ArtifactStore):
    """Stores each artifact at ``url`` as a compressed archive."""

    def __init__(self, local: FolderArtifactStore, url: str) -> None:
        self._local = local
        self._objects = ObjectStore(url, "artifact store", ArtifactError)

    def add(self, folder: Path, metadata: ArtifactMetadata) -> str:
        """Move ``folder`` into the local store, upload it, and return its digest ``sha256:…``."""
        digest = self._local.add(folder, metadata)
        if not self._objects.has(_archive_path(digest)):
            with tempfile.TemporaryFile() as archive:
                from abreast.artifacts.archive import pack  # noqa: PLC0415 (only a store needs it)

                pack(self._local.fetch(digest), archive)
                archive.seek(0)
                self._objects.call(lambda store: store.put(_archive_path(digest), archive))
        self._write_metadata(digest, metadata)
        return digest

    def has(self, digest: str) -> bool:
        """Return whether the artifact is stored, locally or remotely."""
        return self._local.has(digest) or self._objects.has(_archive_path(digest))

    def fetch(self, digest: str) -> Path:
        """Return the artifact's local folder, downloaded if needed and verified against ``digest``."""
        with suppress(FileNotFoundError):  # not in the remote store either: the local store raises the error
            if not self._local.has(digest):
                self._download(digest)
        return self._local.fetch(digest)

    def metadata(self, digest: str, service: str) -> ArtifactMetadata:
        """Return the artifact's metadata for a service, empty if there is none."""
        content = self._objects.read(_metadata_path(digest, service))
        return json.loads(content) if content else self._local.metadata(digest, service)

    def annotate(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add ``more`` to the artifact's metadata for a service."""
        metadata = {"service": service, **self.metadata(digest, service), **more}
        self._local.write_metadata(digest, metadata)
        self._write_metadata(digest, metadata)

    def attestation(self, digest: str) -> str | None:
        """Return the artifact's attestation, a Sigstore bundle as JSON; None if it has none."""
        content = self._objects.read(f"artifacts/{attestation_file_name(digest)}")
        return content.decode() if content else self._local.attestation(digest)

    def attach_attestation(self, digest: str, bundle: str) -> None:
        """Store an attestation beside the artifact, in place of the one that it may have."""
        self._local.attach_attestation(digest, bundle)
        self._objects.call(lambda store: store.put(f"artifacts/{attestation_file_name(digest)}", bundle.encode()))

    def find_by_inputs(self, inputs: str) -> str | None:
        """Return the digest of the artifact last built from these inputs, None if there is none."""
        if local_digest := self._local.find_by_inputs(inputs):
            return local_digest
        stored = self._objects.read(f"inputs/{inputs}")
        digest = stored.decode() if stored else ""
        return digest if digest and self.has(digest) else None

    def prune(self, keep: Collection[str], min_age: float = MIN_AGE) -> int:
        """Delete expired artifacts, locally and remotely; return the number deleted from the remote store."""
        self._local.prune(keep, min_age)
        kept_digests = {digest.removeprefix("sha256:") for digest in keep}
        before = datetime.now(UTC) - timedelta(seconds=min_age)
        listed = self._objects.call(lambda store: [entry for page in store.list() for entry in page])
        kept_digests |= {_digest_in_name(entry["path"]) for entry in listed if entry["last_modified"] > before}
        paths = [entry["path"] for entry in listed if entry["last_modified"] <= before]
        expired = [
            path for path in paths if path.startswith("artifacts/") and _digest_in_name(path) not in kept_digests
        ]
        stale = [
            path
            for path in paths
            if path.startswith("inputs/") and (self._objects.read(path) or b"").decode() not in keep
        ]
        if to_delete := [*expired, *stale]:
            self._objects.call(lambda store: store.delete(to_delete))
        return sum(path.endswith(_ARCHIVE) for path in expired)

    def _download(self, digest: str) -> None:
        """Download an artifact into the local store, only if its content matches the digest."""
        path = self._local.path_of(digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=path.parent, prefix="fetched-") as workdir,
            tempfile.TemporaryFile() as archive,
        ):
            self._objects.call(lambda store: _download_into(store, _archive_path(digest), archive))
            archive.seek(0)
            from abreast.artifacts.archive import unpack  # noqa: PLC0415 (only a store needs it)

            content = Path(workdir) / "content"
            with _unpack_errors(digest):
                unpack(archive, content)
            if (actual := tree_digest(content)) != digest:
                raise ArtifactError(
                    f"the artifact {digest[:19]}… in {self._objects.url} is not what was built: "
                    f"its digest is {actual[:19]}…",
                    need="the content that was tested",
                    next="abreast deploy --force",
                )
            self._local.put(content, digest)

    def _write_metadata(self, digest: str, metadata: ArtifactMetadata) -> None:
        self._objects.call(
            lambda store: store.put(
                _metadata_path(digest, metadata["service"]), json.dumps({"digest": digest, **metadata}).encode()
            )
        )
        if inputs := metadata.get("inputs"):
            self._objects.call(lambda store: store.put(f"inputs/{inputs}", digest.encode()))


def _download_into(store: Any, path: str, into: IO[bytes]) -> None:  # noqa: ANN401 (one of the library's stores)
    for chunk in store.get(path).stream():
        into.write(chunk)


def _archive_path(digest: str) -> str:
    return f"artifacts/{digest.removeprefix('sha256:')}{_ARCHIVE}"


def _metadata_path(digest: str, service: str) -> str:
    return f"artifacts/{metadata_file_name(digest, service)}"


def _digest_in_name(path: str) -> str:
    """Return the hexadecimal digest in an object's name."""
    return Path(path).name.partition(".")[0]


@contextmanager
def _unpack_errors(digest: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ArtifactError(
            f"the artifact {digest[:19]}… cannot be unpacked: {error}",
            need="the archive as it was uploaded",
            next="abreast deploy --force",
        ) from error
