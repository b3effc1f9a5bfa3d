"""The files of a change stream in the store: only who has the key reads them, and one manifest names what is whole."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from abreast.core.errors import DatabaseError
from abreast.core.secrets import Secret
from abreast.database import change_archive
from abreast.database.backup_encryption import BackupKeys
from abreast.database.change_archive import ChangeArchive
from abreast.database.change_stream import ChangeStream, StreamedFile
from abreast.storage.object_store import ObjectStore

BEGINNING = datetime(2026, 11, 21, 1, 2, 1, 500_000, tzinfo=UTC)
FIRST, LATER = "2026-11-21T01:02:03Z", "2026-11-21T01:02:08Z"


class FolderStream(ChangeStream):
    """A stream whose files somebody else writes. ``needed`` are those that are stored already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.needed: set[str] = set()
        folder.mkdir()

    def start(self) -> None:
        """Nothing runs."""

    def check(self) -> None:
        """Nothing ends."""

    def files(self, stored: Mapping[str, str]) -> Mapping[str, StreamedFile]:
        local = {
            file.name: StreamedFile(hashlib.sha256(file.read_bytes()).hexdigest()) for file in self._folder.iterdir()
        }
        return {**{name: StreamedFile(stored[name], is_local=False) for name in self.needed}, **local}

    def earliest_moment(self, stored: Mapping[str, str]) -> datetime | None:
        return BEGINNING if "base" in stored else None

    def forget_local(self, stored: Collection[str]) -> None:
        for name in stored:
            (self._folder / name).unlink(missing_ok=True)

    def stop(self) -> None:
        """Nothing stops."""


@pytest.fixture
def stream(tmp_path: Path) -> FolderStream:
    return FolderStream(tmp_path / "stream")


def archive(tmp_path: Path, keys: BackupKeys) -> ChangeArchive:
    store = ObjectStore(f"file://{tmp_path}/store", "backup store", DatabaseError)
    return ChangeArchive(store, keys, "production/backend/changes")


def ship(into: ChangeArchive, stream: FolderStream, now: str, project: str = "shop") -> bool:
    return into.ship(stream, stream._folder, project, "sqlite", now)


def fetched(from_: ChangeArchive, folder: Path) -> dict[str, str]:
    manifest = from_.manifest()
    assert manifest
    from_.fetch(manifest, folder)
    return {file.name: file.read_text() for file in folder.iterdir()}


def write(tmp_path: Path, **files: str) -> None:
    for name, text in files.items():
        (tmp_path / "stream" / name).write_text(text)


def test_files_are_sealed_and_come_back_as_the_latest_manifest_names_them(stream: FolderStream, tmp_path: Path) -> None:
    theirs = pyrage.x25519.Identity.generate()
    there = archive(tmp_path, BackupKeys([str(theirs.to_public())], None))
    write(tmp_path, base="sentinel-xq7", log="one")
    assert ship(there, stream, FIRST)
    stream.needed = {"base"}
    write(tmp_path, log="one two", more="three")
    again = archive(tmp_path, BackupKeys([str(theirs.to_public())], None))  # another process, without the private key
    assert ship(again, stream, LATER)
    assert not any(b"sentinel-xq7" in file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file())
    (tmp_path / "key").write_text(str(theirs))
    reader = archive(tmp_path, BackupKeys([], tmp_path / "key"))
    assert fetched(reader, tmp_path / "out") == {"base": "sentinel-xq7", "log": "one two", "more": "three"}
    with pytest.raises(DatabaseError, match="no key to open a backup"):
        fetched(again, tmp_path / "no")


@pytest.mark.exhaustive
def test_a_passphrase_opens_what_several_processes_shipped(stream: FolderStream, tmp_path: Path) -> None:
    keys = BackupKeys([], None, lambda: Secret("p", "correct horse"))
    write(tmp_path, base="one")
    ship(archive(tmp_path, keys), stream, FIRST)
    stream.needed = {"base"}
    write(tmp_path, log="two")
    ship(archive(tmp_path, keys), stream, LATER)
    assert fetched(archive(tmp_path, keys), tmp_path / "out") == {"base": "one", "log": "two"}


def test_a_changed_file_is_refused_and_so_is_another_projects_store(stream: FolderStream, tmp_path: Path) -> None:
    keys = BackupKeys([], tmp_path / "key", create=True)
    there = archive(tmp_path, keys)
    write(tmp_path, base="one", log="two")
    ship(there, stream, FIRST)
    manifest = there.manifest()
    assert manifest
    first, second = (tmp_path / "store/production/backend/changes" / file.object for file in manifest.files.values())
    first.write_bytes(second.read_bytes())
    with pytest.raises(DatabaseError, match="has changed"):
        fetched(there, tmp_path / "out")
    first.unlink()
    with pytest.raises(DatabaseError, match="gone from the store"):
        fetched(there, tmp_path / "again")
    with pytest.raises(DatabaseError, match="a continuous backup of shop"):
        ship(there, stream, LATER, project="other")


def test_what_no_manifest_names_is_deleted_at_the_second_look(
    stream: FolderStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_archive, "CLEANUP_INTERVAL", 0.0)
    there = archive(tmp_path, BackupKeys([], tmp_path / "key", create=True))
    folder = tmp_path / "store/production/backend/changes"
    for number in range(4):
        write(tmp_path, log=f"version {number}")
        ship(there, stream, LATER)
    manifest = there.manifest()
    assert manifest
    (current,) = manifest.files.values()
    kept = {file.name for file in folder.iterdir()}
    assert {current.object, "manifest.json"} < kept, "who fetches the one before can go on"
    assert len(kept) == 3
    assert fetched(there, tmp_path / "out") == {"log": "version 3"}


def test_a_database_that_does_not_change_is_renewed_once_a_minute(stream: FolderStream, tmp_path: Path) -> None:
    there = archive(tmp_path, BackupKeys([], tmp_path / "key", create=True))
    write(tmp_path, base="one")
    assert ship(there, stream, FIRST)
    stream.needed = {"base"}
    assert not ship(there, stream, LATER)
    assert ship(there, stream, "2026-11-21T01:03:30Z")
    manifest = there.manifest()
    assert manifest
    assert (manifest.since, manifest.until) == ("2026-11-21T01:02:01.500Z", "2026-11-21T01:03:30Z")


def test_nothing_can_be_recovered_before_there_is_a_full_copy(stream: FolderStream, tmp_path: Path) -> None:
    there = archive(tmp_path, BackupKeys([], tmp_path / "key", create=True))
    assert there.recoverable() is None
    write(tmp_path, log="one")
    assert ship(there, stream, FIRST)
    assert there.recoverable() is None
    stream.needed = {"log"}
    write(tmp_path, base="two")
    assert ship(there, stream, LATER)
    assert there.recoverable() == there.manifest()
