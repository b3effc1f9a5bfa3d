"""Encrypted backups in an object store; a plain-text metadata object, written last, marks a backup as complete."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

from abreast.core.backups import LATEST, Backup, BackupRetention, expired, format_moment, parse_moment
from abreast.core.codec import dump, load
from abreast.core.errors import DatabaseError, UsageError
from abreast.database.backup_encryption import BackupCipher, BackupKeys, write_chunk
from abreast.database.change_archive import ChangeArchive
from abreast.database.dump_process import CHUNK_SIZE
from abreast.database.interface import BackupStore, DatabaseStats
from abreast.storage.object_store import ObjectStore


class EncryptedBackupStore(BackupStore):
    """Stores NAME``.dump.zst.age``, NAME``.about.age``, NAME``.json``, and NAME``.key.age`` with a passphrase."""

    def __init__(self, url: str, keys: BackupKeys, retention: BackupRetention) -> None:
        self._objects = ObjectStore(url, "backup store", DatabaseError)
        self._keys = keys
        self._retention = retention

    def save(
        self, backup: Backup, write: Callable[[IO[bytes]], DatabaseStats], context: Mapping[str, Any], plain: Path
    ) -> Backup:
        """Store what ``write`` writes as an unverified backup, with ``context`` encrypted beside it.

        It is written to the file ``plain`` too, for a test restore. Returns the backup with its sizes and digest.
        """
        cipher = self._keys.new_cipher()
        plain.touch(mode=0o600)
        with plain.open("wb") as copy:
            stats, sealed, stored = cipher.encrypt_to_store(
                self._objects, _dump_path(backup.name), lambda into: write(cast("IO[bytes]", _Tee(into, copy, plain)))
            )
        saved = replace(backup, rows=stats.rows, size=stats.size, stored=stored, sealed=sealed)
        metadata = json.dumps({"backup": dump(saved), **context}).encode()
        self._put(f"{backup.name}.about.age", cipher.encrypt(metadata))
        if cipher.wrapped_key:
            self._put(f"{backup.name}.key.age", cipher.wrapped_key)
        self.write_metadata(saved)
        return saved

    def check_stored(self, backup: Backup) -> None:
        """Raise DatabaseError unless the store returns the bytes that were encrypted. Needs no key."""
        digest = hashlib.sha256()

        def read(store: Any) -> None:  # noqa: ANN401 (one of the library's stores)
            for chunk in store.get(_dump_path(backup.name)).stream(min_chunk_size=CHUNK_SIZE):
                digest.update(chunk)

        self._objects.call(read)
        if f"sha256:{digest.hexdigest()}" != backup.sealed:
            raise DatabaseError(
                f"the store does not return the backup {backup.name} as it was written", next="abreast db backup"
            )

    def write_metadata(self, backup: Backup) -> None:
        """Replace a backup's metadata."""
        self._put(f"{backup.name}.json", json.dumps(dump(backup), indent=1).encode())

    def fetch(self, backup: Backup, into: Path) -> Mapping[str, Any]:
        """Decrypt a backup's dump into a file, and return the context that was saved with it.

        Raises DatabaseError if the backup was changed, is incomplete, or cannot be opened with the available keys.
        """
        cipher, metadata = self._open(backup)
        try:
            cipher.decrypt_from_store(self._objects, _dump_path(backup.name), into, backup.sealed)
        except FileNotFoundError as error:
            raise DatabaseError(f"the backup {backup.name} is gone", next="abreast db list") from error
        return metadata

    def check_keys(self, backup: Backup) -> None:
        """Raise DatabaseError if the keys that belong here do not open a backup. Reads its encrypted metadata only."""
        if self._keys.are_here:
            self._open(backup)

    def _open(self, backup: Backup) -> tuple[BackupCipher, dict[str, Any]]:
        """Return what decrypts a backup, and its encrypted metadata."""
        cipher = self._keys.cipher_for(self._objects.read(f"{backup.name}.key.age"))
        encrypted_metadata = self._objects.read(f"{backup.name}.about.age")
        if encrypted_metadata is None:
            raise DatabaseError(
                f"the backup {backup.name} is incomplete: its encrypted metadata is missing", next="abreast db list"
            )
        metadata: dict[str, Any] = json.loads(cipher.decrypt(encrypted_metadata, backup.name))
        recorded = load(Backup, metadata["backup"])
        if _as_saved(recorded) != _as_saved(backup):
            raise DatabaseError(
                f"the metadata of the backup {backup.name} is not what was encrypted with it",
                need="the metadata that was stored",
                next="abreast db list",
            )
        return cipher, metadata

    def list_backups(self, environment: str, service: str = "") -> Sequence[Backup]:
        """Return the backups of an environment, or of one of its services, newest first."""
        prefix = f"{environment}/{service}" if service else environment
        metadata_paths = [path for path in self._stored_objects(prefix) if path.endswith(".json")]
        backups = [_parse_metadata(path, self._objects.read(path)) for path in metadata_paths]
        return sorted((backup for backup in backups if backup), key=lambda backup: backup.order, reverse=True)

    def _stored_objects(self, prefix: str) -> Mapping[str, datetime]:
        """Return the objects below a path, with the time when each was last modified."""
        listed = self._objects.call(lambda store: [entry for page in store.list(prefix=prefix) for entry in page])
        return {entry["path"]: entry["last_modified"] for entry in listed}

    def find_backup(self, environment: str, service: str, which: str = "") -> Backup:
        """Return a backup by name, last part of the name, release, or moment; by default the newest trusted one.

        A moment (ISO 8601, or ``latest``) is one of the continuous backup. Raises UsageError that says what there is.
        """
        requested_moment = parse_moment(_last_part(which))
        if requested_moment or which == LATEST:
            return self._find_moment(environment, service, requested_moment)
        backups = self.list_backups(environment, service)
        if not which:
            matches = [backup for backup in backups if backup.is_trusted]
        else:
            named = [backup for backup in backups if which in {backup.name, _short_name(backup), backup.release}]
            matches = sorted(named, key=lambda backup: (not backup.is_trusted, not backup.verified))
        if not matches:
            latest = ", ".join(map(_short_name, backups[:3])) or "none yet"
            requested = f"backup {which!r}" if which else "verified backup"
            raise UsageError(
                f"there is no {requested} of {service} in {environment}",
                need=f"one of: {latest}",
                next="abreast db list",
            )
        return matches[0]

    def _find_moment(self, environment: str, service: str, moment: datetime | None) -> Backup:
        manifest = self.change_archive(environment, service).recoverable()
        if manifest is None:
            raise UsageError(
                f"there is no continuous backup of {service} in {environment}",
                need="`backups: {continuous: …}`, and `abreast db backup --scheduled` running",
                next="abreast db list",
            )
        first, last = datetime.fromisoformat(manifest.since), datetime.fromisoformat(manifest.until)
        at = manifest.until if moment is None else format_moment(moment)
        if moment and not first <= moment <= last:
            raise UsageError(
                f"the continuous backup of {service} does not have {at}",
                need=f"a moment from {manifest.since} until {manifest.until}",
                next="abreast db list",
            )
        name = f"{environment}/{service}/{at}"
        return Backup(name, manifest.project, environment, service, "", at, manifest.engine, "", recorded=True)

    def change_archive(self, environment: str, service: str) -> ChangeArchive:
        """Return the archive of a database's change stream, which may be empty."""
        return ChangeArchive(self._objects, self._keys, f"{environment}/{service}/changes")

    def prune(self, environment: str, service: str, needed: Collection[str], now: str) -> int:
        """Delete expired backups, their metadata last; return the number deleted.

        Objects without metadata, left by a killed process, are deleted after a day.
        """
        stored = self._stored_objects(f"{environment}/{service}")
        to_delete = expired(self.list_backups(environment, service), self._retention, now, needed)
        cutoff = datetime.fromisoformat(now) - UNFINISHED_MAX_AGE
        leftovers = [
            path
            for path, modified in stored.items()
            if modified < cutoff and f"{_backup_name(path)}.json" not in stored
        ]
        leftovers = [path for path in leftovers if path.endswith(_SUFFIXES)]
        self._objects.delete_stale_uploads(f"{environment}/{service}", cutoff)
        for paths in (leftovers, *([f"{backup.name}{suffix}" for suffix in _SUFFIXES] for backup in to_delete)):
            if existing := [path for path in paths if path in stored]:
                self._objects.call(lambda store, existing=existing: store.delete(existing))  # type: ignore[misc]
        return len(to_delete)

    def _put(self, path: str, content: bytes) -> None:
        self._objects.call(lambda store: store.put(path, content))


class _Tee:
    """Writes to two files; the second is at ``path``."""

    def __init__(self, first: IO[bytes], second: IO[bytes], path: Path) -> None:
        self._first, self._second, self._path = first, second, path

    def write(self, chunk: bytes) -> int:
        write_chunk(self._second, chunk, self._path)
        return self._first.write(chunk)


_SUFFIXES = (".dump.zst.age", ".about.age", ".key.age", ".json")
UNFINISHED_MAX_AGE = timedelta(days=1)
"""Maximum duration of a backup; older incomplete ones are deleted."""


def _as_saved(backup: Backup) -> Backup:
    """Return the backup without what changes after it was saved."""
    return replace(backup, verified="", gaps=(), sequence=0)


def _short_name(backup: Backup) -> str:
    return _last_part(backup.name)


def _last_part(name: str) -> str:
    return name.rpartition("/")[2]


def _backup_name(path: str) -> str:
    """Return the name of the backup that an object belongs to."""
    folder, _, file = path.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _dump_path(name: str) -> str:
    return f"{name}.dump.zst.age"


def _parse_metadata(path: str, content: bytes | None) -> Backup | None:
    """Return the backup that a metadata object describes, None if it is not one of abreast's."""
    try:
        backup = load(Backup, json.loads(content or b""))
    except ValueError:
        return None
    return backup if f"{backup.name}.json" == path else None
