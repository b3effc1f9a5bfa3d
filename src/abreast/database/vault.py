"""The vault: backups in a store, each sealed, with what is known of it beside it; the note in clear makes it whole."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from abreast.core.backups import Backup, going
from abreast.core.codec import dump, load
from abreast.core.errors import DatabaseError, UsageError
from abreast.database.interface import Contents, Vault
from abreast.database.sealing import Keys, Sealer
from abreast.machine.objects import Objects


class SealedVault(Vault):
    """Below each backup's name: ``.dump.zst.age``, ``.about.age``, ``.key.age`` with a passphrase, and ``.json``."""

    def __init__(self, url: str, keys: Keys, keep: int, within: float) -> None:
        self._objects = Objects(url, "store of backups", DatabaseError)
        self._keys = keys
        self._keep = keep
        self._within = within

    def save(
        self, backup: Backup, write: Callable[[IO[bytes]], Contents], around: Mapping[str, Any]
    ) -> tuple[Backup, Sealer]:
        """Put a backup away, not yet verified; ``around`` is kept with it, sealed.

        Returns it, and what opens it in this process.
        """
        sealer = self._keys.fresh()
        contents, sealed, stored = sealer.put(self._objects, _dump(backup.name), write)
        whole = replace(backup, rows=contents.rows, size=contents.size, stored=stored, sealed=sealed)
        about = json.dumps({"backup": dump(whole), **around}).encode()
        self._put(f"{backup.name}.about.age", sealer.seal(about))
        if sealer.wrapped:
            self._put(f"{backup.name}.key.age", sealer.wrapped)
        self.note(whole)
        return whole, sealer

    def note(self, backup: Backup) -> None:
        """Put down what is known of a backup, in place of what was."""
        self._put(f"{backup.name}.json", json.dumps(dump(backup), indent=1).encode())

    def fetch(self, backup: Backup, into: Path, opener: object = None) -> Mapping[str, Any]:
        """Put what was dumped into a file, and return what was kept with it.

        Raises DatabaseError where it was changed, is not whole, or cannot be opened with the keys that are here.
        """
        if not isinstance(opener, Sealer):
            opener = self._keys.opener(self._objects.read(f"{backup.name}.key.age"))
        about = self._objects.read(f"{backup.name}.about.age")
        if about is None:
            raise DatabaseError(f"the backup {backup.name} is not whole", next="abreast db list")
        said: dict[str, Any] = json.loads(opener.open(about, backup.name))
        meant = load(Backup, said["backup"])
        if replace(meant, verified="") != replace(backup, verified=""):
            raise DatabaseError(
                f"what is said of the backup {backup.name} is not what was sealed with it",
                need="its note as it was",
                next="abreast db list",
            )
        try:
            opener.fetch(self._objects, _dump(backup.name), into, backup.sealed)
        except FileNotFoundError as error:
            raise DatabaseError(f"the backup {backup.name} is gone", next="abreast db list") from error
        return said

    def list(self, environment: str, service: str = "") -> Sequence[Backup]:
        """Return the backups of an environment (and service), newest first."""
        below = f"{environment}/{service}" if service else environment
        notes = [path for path in self._there(below) if path.endswith(".json")]
        found = [_known(path, self._objects.read(path)) for path in notes]
        return sorted((one for one in found if one), key=lambda one: one.at, reverse=True)

    def _there(self, below: str) -> Mapping[str, datetime]:
        """Return the paths of all objects below a path, and since when each is there."""
        listed = self._objects.ask(lambda store: [one for page in store.list(prefix=below) for one in page])
        return {one["path"]: one["last_modified"] for one in listed}

    def one(self, environment: str, service: str, which: str = "") -> Backup:
        """Return the backup that a person means: by name, by the end of it, by release, or the newest verified one.

        Raises UsageError that lists the last ones.
        """
        known = self.list(environment, service)
        if not which:
            fits = [one for one in known if one.verified][:1]
        else:
            named = [one for one in known if which in {one.name, one.name.rpartition("/")[2], one.release}]
            fits = sorted(named, key=lambda one: not one.verified)[:1]
        if not fits:
            last = ", ".join(one.name.rpartition("/")[2] for one in known[:3]) or "none yet"
            asked = f"backup {which!r}" if which else "verified backup"
            raise UsageError(
                f"there is no {asked} of {service} in {environment}", need=f"one of: {last}", next="abreast db list"
            )
        return fits[0]

    def tidy(self, environment: str, service: str, needed: Collection[str], now: str) -> int:
        """Take away what nobody needs any more, its note last; returns how many backups went.

        What a killed process left, which has no note, goes after a day.
        """
        there = self._there(f"{environment}/{service}")
        gone = going(self.list(environment, service), self._keep, self._within, now, needed)
        before = datetime.fromisoformat(now) - UNFINISHED
        left = [path for path, since in there.items() if since < before and f"{_stem(path)}.json" not in there]
        left = [path for path in left if path.endswith(_SUFFIXES)]
        self._objects.sweep(f"{environment}/{service}", before)
        for paths in (left, *([f"{one.name}{suffix}" for suffix in _SUFFIXES] for one in gone)):
            if known := [path for path in paths if path in there]:
                self._objects.ask(lambda store, known=known: store.delete(known))  # type: ignore[misc]
        return len(gone)

    def _put(self, path: str, content: bytes) -> None:
        self._objects.ask(lambda store: store.put(path, content))


_SUFFIXES = (".dump.zst.age", ".about.age", ".key.age", ".json")
UNFINISHED = timedelta(days=1)
"""How long a backup may take to be made, at most."""


def _stem(path: str) -> str:
    """Return the name of the backup that an object is of."""
    folder, _, file = path.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _dump(name: str) -> str:
    return f"{name}.dump.zst.age"


def _known(path: str, content: bytes | None) -> Backup | None:
    """Return what a note says; None where it is none of ours."""
    try:
        found = load(Backup, json.loads(content or b""))
    except ValueError:
        return None
    return found if f"{found.name}.json" == path else None
