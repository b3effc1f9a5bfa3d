"""The vault: backups in a store, each sealed, with what is known of it beside it; the note in clear makes it whole."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from abreast.core.backups import Backup, expired
from abreast.core.codec import dump, load
from abreast.core.errors import DatabaseError, UsageError
from abreast.database.backup_encryption import BackupCipher, BackupKeys
from abreast.database.interface import BackupStore, DatabaseStats
from abreast.storage.object_store import ObjectStore


class EncryptedBackupStore(BackupStore):
    """Below each backup's name: ``.dump.zst.age``, ``.about.age``, ``.key.age`` with a passphrase, and ``.json``."""

    def __init__(self, url: str, keys: BackupKeys, keep: int, within: float) -> None:
        self._objects = ObjectStore(url, "store of backups", DatabaseError)
        self._keys = keys
        self._keep = keep
        self._within = within

    def save(
        self, backup: Backup, write: Callable[[IO[bytes]], DatabaseStats], context: Mapping[str, Any]
    ) -> tuple[Backup, BackupCipher]:
        """Put a backup away, not yet verified; ``around`` is kept with it, sealed.

        Returns it, and what opens it in this process.
        """
        cipher = self._keys.new_cipher()
        contents, sealed, stored = cipher.encrypt_to_store(self._objects, _dump_path(backup.name), write)
        whole = replace(backup, rows=contents.rows, size=contents.size, stored=stored, sealed=sealed)
        metadata = json.dumps({"backup": dump(whole), **context}).encode()
        self._put(f"{backup.name}.about.age", cipher.encrypt(metadata))
        if cipher.wrapped_key:
            self._put(f"{backup.name}.key.age", cipher.wrapped_key)
        self.write_metadata(whole)
        return whole, cipher

    def write_metadata(self, backup: Backup) -> None:
        """Put down what is known of a backup, in place of what was."""
        self._put(f"{backup.name}.json", json.dumps(dump(backup), indent=1).encode())

    def fetch(self, backup: Backup, into: Path, cipher: object = None) -> Mapping[str, Any]:
        """Put what was dumped into a file, and return what was kept with it.

        Raises DatabaseError where it was changed, is not whole, or cannot be opened with the keys that are here.
        """
        if not isinstance(cipher, BackupCipher):
            cipher = self._keys.cipher_for(self._objects.read(f"{backup.name}.key.age"))
        encrypted_metadata = self._objects.read(f"{backup.name}.about.age")
        if encrypted_metadata is None:
            raise DatabaseError(f"the backup {backup.name} is not whole", next="abreast db list")
        metadata: dict[str, Any] = json.loads(cipher.decrypt(encrypted_metadata, backup.name))
        recorded = load(Backup, metadata["backup"])
        if replace(recorded, verified="") != replace(backup, verified=""):
            raise DatabaseError(
                f"what is said of the backup {backup.name} is not what was sealed with it",
                need="its note as it was",
                next="abreast db list",
            )
        try:
            cipher.decrypt_from_store(self._objects, _dump_path(backup.name), into, backup.sealed)
        except FileNotFoundError as error:
            raise DatabaseError(f"the backup {backup.name} is gone", next="abreast db list") from error
        return metadata

    def list_backups(self, environment: str, service: str = "") -> Sequence[Backup]:
        """Return the backups of an environment (and service), newest first."""
        below = f"{environment}/{service}" if service else environment
        metadata_paths = [path for path in self._stored_objects(below) if path.endswith(".json")]
        found = [_parse_metadata(path, self._objects.read(path)) for path in metadata_paths]
        return sorted((one for one in found if one), key=lambda one: one.at, reverse=True)

    def _stored_objects(self, below: str) -> Mapping[str, datetime]:
        """Return the paths of all objects below a path, and since when each is there."""
        listed = self._objects.call(lambda store: [one for page in store.list(prefix=below) for one in page])
        return {one["path"]: one["last_modified"] for one in listed}

    def find_backup(self, environment: str, service: str, which: str = "") -> Backup:
        """Return the backup that a person means: by name, by the end of it, by release, or the newest verified one.

        Raises UsageError that lists the last ones.
        """
        known = self.list_backups(environment, service)
        if not which:
            matches = [one for one in known if one.verified][:1]
        else:
            named = [one for one in known if which in {one.name, one.name.rpartition("/")[2], one.release}]
            matches = sorted(named, key=lambda one: not one.verified)[:1]
        if not matches:
            last = ", ".join(one.name.rpartition("/")[2] for one in known[:3]) or "none yet"
            asked = f"backup {which!r}" if which else "verified backup"
            raise UsageError(
                f"there is no {asked} of {service} in {environment}", need=f"one of: {last}", next="abreast db list"
            )
        return matches[0]

    def prune(self, environment: str, service: str, needed: Collection[str], now: str) -> int:
        """Take away what nobody needs any more, its note last; returns how many backups went.

        What a killed process left, which has no note, goes after a day.
        """
        stored = self._stored_objects(f"{environment}/{service}")
        to_delete = expired(self.list_backups(environment, service), self._keep, self._within, now, needed)
        cutoff = datetime.fromisoformat(now) - UNFINISHED_MAX_AGE
        leftovers = [
            path for path, since in stored.items() if since < cutoff and f"{_backup_name(path)}.json" not in stored
        ]
        leftovers = [path for path in leftovers if path.endswith(_SUFFIXES)]
        self._objects.delete_stale_uploads(f"{environment}/{service}", cutoff)
        for paths in (leftovers, *([f"{one.name}{suffix}" for suffix in _SUFFIXES] for one in to_delete)):
            if known := [path for path in paths if path in stored]:
                self._objects.call(lambda store, known=known: store.delete(known))  # type: ignore[misc]
        return len(to_delete)

    def _put(self, path: str, content: bytes) -> None:
        self._objects.call(lambda store: store.put(path, content))


_SUFFIXES = (".dump.zst.age", ".about.age", ".key.age", ".json")
UNFINISHED_MAX_AGE = timedelta(days=1)
"""How long a backup may take to be made, at most."""


def _backup_name(path: str) -> str:
    """Return the name of the backup that an object is of."""
    folder, _, file = path.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _dump_path(name: str) -> str:
    return f"{name}.dump.zst.age"


def _parse_metadata(path: str, content: bytes | None) -> Backup | None:
    """Return what a note says; None where it is none of ours."""
    try:
        found = load(Backup, json.loads(content or b""))
    except ValueError:
        return None
    return found if f"{found.name}.json" == path else None
