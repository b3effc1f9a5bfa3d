"""Every change of a database is recorded: what was acknowledged some seconds before the machine dies can be restored."""

import json
import re
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import postgres_server
from abreast.core.errors import DatabaseError
from abreast.core.model import Service
from abreast.database.backup_encryption import BackupKeys
from abreast.database.change_archive import ChangeArchive
from abreast.database.change_stream import ChangeStream, StreamedFile
from abreast.database.sqlite.database import SqliteDatabase
from abreast.deploy.data import continuous
from abreast.deploy.data.continuous import ContinuousBackup
from abreast.storage.object_store import ObjectStore
from abreast.testing.process_tree import kill_at_once, processes_of
from abreast.wiring.workspace import utc_now
from database_project import DatabaseProject
from fork_server import StartedCommand
from sample_project import SampleProject, eventually


def recording(shop: DatabaseProject) -> StartedCommand:
    """Start to record every change, and return when the first are stored."""
    shop.project.config["backups"] = {"continuous": "1d"}
    shop.project.commit()
    shop.deploy()
    command = shop.project.start("db", "backup", "--scheduled", variables=shop.variables)
    eventually(lambda: recorded_until(shop) is not None, 60)
    known = recorded_until(shop)
    told = json.loads(shop.run("db", "status", "--json", code=None).stdout)["backend"]["recorded_until"]
    assert known
    assert datetime.fromisoformat(told) >= known
    return command


def recorded_until(shop: DatabaseProject) -> datetime | None:
    """Return what `abreast db status` shows, from where it reads it."""
    for file in (shop.project.folder / ".abreast" / "backups").rglob("manifest.json"):
        manifest = json.loads(file.read_text())
        return datetime.fromisoformat(manifest["until"]) if manifest["since"] else None
    return None


def wait_until_recorded(shop: DatabaseProject) -> None:
    """Wait until what was written before this call is stored."""
    known, now = recorded_until(shop), datetime.now(UTC) + timedelta(seconds=3)
    assert known
    eventually(lambda: (recorded_until(shop) or known) > now, 60)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)])
def test_after_the_machine_has_died_the_last_seconds_are_lost_at_most(project: SampleProject, engine: str) -> None:
    url = postgres_server.create_database(server=postgres_server.small_server_url()) if engine == "postgresql" else ""
    shop = DatabaseProject(project, engine, url)
    command = recording(shop)
    shop.insert_orders(5)
    wait_until_recorded(shop)
    middle = datetime.now(UTC)
    shop.insert_orders(7)
    wait_until_recorded(shop)
    kill_at_once([command.pid, *(pid for pid, _ in processes_of(project.folder))])
    shop.query("DELETE FROM orders")
    shop.run("db", "restore", "latest", "--yes", "--reason", "the disk is gone")
    assert shop.query("SELECT count(*) FROM orders") == [(12,)]
    shop.run("db", "restore", middle.isoformat(), "--yes", "--reason", "an hour ago, please")
    assert shop.query("SELECT count(*) FROM orders") == [(5,)]
    known = shop.backups()
    assert "verified" in shop.run("db", "verify", "latest").stdout
    assert shop.backups() == known, "a moment is no backup of its own"
    told = shop.run("db", "drill").stdout
    assert re.search(r"recovery time [\d.]+ s, recovery point \d+ s", told)


def test_what_cannot_be_restored_is_said(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    told = shop.run("db", "restore", "latest", "--yes", "--reason", "no", code=2).stderr
    assert "there is no continuous backup of backend in local" in told
    told = shop.run("db", "backup", "--scheduled", code=2).stderr
    assert "backups: schedule" in told
    command = recording(shop)
    told = shop.run("db", "restore", "2020-01-01T00:00:00Z", "--yes", "--reason", "no", code=2).stderr
    assert re.search(r"does not have 2020-01-01T00:00:00.000Z\n +needed: a moment from \S+ until \S+", told)
    told = shop.run("db", "backup", "--scheduled", code=1).stderr
    assert f"another command records the changes of backend: process {command.pid}" in told
    assert "any moment from" in shop.run("db", "list").stdout
    command.send_signal(15)
    eventually(lambda: command.poll() is not None)
    assert not [line for _, line in processes_of(project.folder) if "litestream" in line]


class ScriptedStream(ChangeStream):
    """A stream with a change at every look, that says it has ended when it is told to. It counts its starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changes = 0
        self.starts = 0
        self.has_ended = False

    def start(self) -> None:
        self.starts += 1
        self.has_ended = False

    def check(self) -> None:
        if self.has_ended:
            raise DatabaseError("the program has ended")

    def files(self, stored: Mapping[str, str]) -> Mapping[str, StreamedFile]:
        self._changes += 1
        (self._folder / "log").write_text(f"{self._changes}")
        return {"log": StreamedFile(f"{self._changes}")}

    def earliest_moment(self, stored: Mapping[str, str]) -> datetime | None:
        return None

    def forget_local(self, stored: Collection[str]) -> None:
        """The next look overwrites it."""

    def stop(self) -> None:
        """Nothing runs."""


class StreamedDatabase(SqliteDatabase):
    """A database with a scripted stream."""

    def __init__(self, folder: Path) -> None:
        super().__init__("sqlite:///shop.db", folder)
        self.stream = ScriptedStream(folder / "changes")

    def change_stream(self, folder: Path, keep: float) -> ScriptedStream:  # type: ignore[override]
        return self.stream


def test_a_store_that_is_away_does_not_restart_the_stream_and_an_ended_one_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for interval in ("SHIP_INTERVAL", "RETRY_INTERVAL"):
        monkeypatch.setattr(continuous, interval, 0.01)
    told, recovered = list[str](), list[str]()
    stopped, database, store = threading.Event(), StreamedDatabase(tmp_path), tmp_path / "store"
    archive = ChangeArchive(
        ObjectStore(f"file://{store}", "backup store", DatabaseError),
        BackupKeys([], tmp_path / "key", create=True),
        "a/b",
    )
    backup = ContinuousBackup(
        Service("backend", "local", {}), "shop/local/backend", database, archive, tmp_path / "changes", 60.0, utc_now, told.append, recovered.append
    )  # fmt: skip
    running = threading.Thread(target=backup.run, args=(stopped,))
    running.start()
    try:
        eventually((store / "a" / "b" / "manifest.json").exists)
        eventually(lambda: len(recovered) == 1)  # nobody knows what an earlier command met
        store.rename(tmp_path / "away")
        store.touch()
        eventually(lambda: any("has stopped" in line for line in told))
        assert database.stream.starts == 1
        store.unlink()
        (tmp_path / "away").rename(store)
        eventually(lambda: len(recovered) == 2)
        assert len(told) == len(set(told)), "each failure is said once"
        assert database.stream.starts == 1
        database.stream.has_ended = True
        eventually(lambda: database.stream.starts == 2 and len(recovered) == 3)
        assert any("the program has ended" in line for line in told)
    finally:
        stopped.set()
        running.join()
