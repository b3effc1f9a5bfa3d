"""The files of a change stream in the backup store: encrypted, and named by a manifest that is replaced as a whole."""

import base64
import json
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from abreast.core.backups import format_moment
from abreast.core.codec import dump, load
from abreast.core.errors import DatabaseError
from abreast.database.backup_encryption import BackupCipher, BackupKeys
from abreast.database.change_stream import ChangeStream
from abreast.database.dump_process import CHUNK_SIZE
from abreast.storage.object_store import ObjectStore

IDLE_INTERVAL = timedelta(seconds=60)
"""How often the manifest of a database that does not change is renewed."""

CLEANUP_INTERVAL = 600.0
"""Seconds between two looks for objects without use. What both find is deleted: nobody still fetches it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a stream in the store: its object, the digest of that, and the cipher session that encrypted it."""

    state: str
    object: str
    sealed: str
    session: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a recovery needs: each moment between ``since`` and ``until`` (ISO 8601, UTC) follows from ``files``.

    ``since`` is "" while nothing can be recovered yet: the first full copy is not stored. ``project`` owns the
    database. ``sessions`` are the keys of ciphers, encrypted with the passphrase; "" without one.
    """

    project: str
    engine: str
    since: str
    until: str
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)


class ChangeArchive:
    """The archive of one database, below ``prefix``. One process ships, others fetch meanwhile."""

    def __init__(self, objects: ObjectStore, keys: BackupKeys, prefix: str) -> None:
        self._objects = objects
        self._keys = keys
        self._prefix = prefix
        self._session = secrets.token_hex(8)
        self._cipher: BackupCipher | None = None
        self._unneeded: set[str] = set()
        self._cleaned_at = 0.0

    def manifest(self) -> Manifest | None:
        """Return the manifest, None if nothing was shipped yet. Raises DatabaseError if it is damaged."""
        content = self._objects.read(self._path("manifest.json"))
        if content is None:
            return None
        try:
            return load(Manifest, json.loads(content))
        except ValueError as error:
            raise DatabaseError(
                f"the manifest of the continuous backup is damaged: {error}",
                need="the manifest as it was stored, or a new beginning",
                next=f"delete {self._path('')} in the backup store",
            ) from error

    def recoverable(self) -> Manifest | None:
        """Return the manifest, None if nothing can be recovered yet. Raises DatabaseError if it is damaged."""
        manifest = self.manifest()
        return manifest if manifest and manifest.since else None

    def ship(self, stream: ChangeStream, folder: Path, project: str, engine: str, now: str) -> bool:
        """Store what is new in a stream's folder and delete what it no longer needs. Returns whether anything changed.

        ``now`` is the time before the call. A process that is killed here leaves the manifest as it was. Raises
        DatabaseError if the archive is another project's.
        """
        before = self.manifest() or Manifest(project, engine, "", now)
        if before.project != project:
            raise DatabaseError(
                f"the backup store has a continuous backup of {before.project} at {self._prefix}",
                need="a store, or a folder in it, for each project",
                next="set `backups: store` in abreast.yml",
            )
        wanted = stream.files(_states(before.files))
        files = {}
        for name, file in wanted.items():
            stored = before.files.get(name)
            if stored is None or stored.state != file.state:
                stored = self._store(folder / name, file.state)
            files[name] = stored
        if files == before.files and datetime.fromisoformat(now) - datetime.fromisoformat(before.until) < IDLE_INTERVAL:
            return False
        earliest = stream.earliest_moment(_states(files))
        since = format_moment(earliest) if earliest else ""
        self._write(Manifest(project, engine, since, now, files, self._used_sessions(before, files)))
        self._delete_unneeded(files)
        stream.forget_local(files)
        return True

    def fetch(self, manifest: Manifest, into: Path) -> None:
        """Decrypt the files of a manifest into a folder. Raises DatabaseError if one was changed or is gone."""
        ciphers: dict[str, BackupCipher] = {}
        for name, stored in manifest.files.items():
            wrapped = manifest.sessions.get(stored.session, "")
            if wrapped not in ciphers:
                ciphers[wrapped] = self._keys.cipher_for(base64.b64decode(wrapped) or None)
            file = into / name
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                ciphers[wrapped].decrypt_from_store(self._objects, self._path(stored.object), file, stored.sealed)
            except FileNotFoundError as error:
                raise DatabaseError(
                    f"{name} of the continuous backup is gone from the store", next="abreast db list"
                ) from error

    def _store(self, file: Path, state: str) -> StoredFile:
        if self._cipher is None:
            self._cipher = self._keys.new_cipher()
        name = f"{secrets.token_hex(8)}.zst.age"

        def write(into: IO[bytes]) -> None:
            with file.open("rb") as source:
                shutil.copyfileobj(source, into, CHUNK_SIZE)

        _, sealed, _ = self._cipher.encrypt_to_store(self._objects, self._path(name), write)
        return StoredFile(state, name, sealed, self._session)

    def _used_sessions(self, before: Manifest, files: Mapping[str, StoredFile]) -> dict[str, str]:
        wrapped = self._cipher.wrapped_key if self._cipher else b""
        known = {**before.sessions, self._session: base64.b64encode(wrapped).decode()}
        return {session: known[session] for session in {stored.session for stored in files.values()}}

    def _write(self, manifest: Manifest) -> None:
        content = json.dumps(dump(manifest), indent=1).encode()
        self._objects.call(lambda store: store.put(self._path("manifest.json"), content))

    def _delete_unneeded(self, files: Mapping[str, StoredFile]) -> None:
        if self._cleaned_at and time.monotonic() - self._cleaned_at < CLEANUP_INTERVAL:
            return
        self._cleaned_at = time.monotonic()
        needed = {self._path(stored.object) for stored in files.values()} | {self._path("manifest.json")}
        listed = self._objects.call(
            lambda store: {entry["path"] for page in store.list(prefix=self._prefix) for entry in page}
        )
        unneeded = listed - needed
        if deletable := sorted(unneeded & self._unneeded):
            self._objects.call(lambda store: store.delete(deletable))
        self._unneeded = unneeded

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}"


def _states(files: Mapping[str, StoredFile]) -> dict[str, str]:
    return {name: stored.state for name, stored in files.items()}
