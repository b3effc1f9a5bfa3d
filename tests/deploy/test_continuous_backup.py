"""Every change of a database is recorded: what was acknowledged some seconds before the machine dies can be restored."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from abreast.testing.process_tree import kill_at_once, processes_of
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
    return command


def recorded_until(shop: DatabaseProject) -> datetime | None:
    state = json.loads(shop.run("db", "status", "--json", code=None).stdout)["backend"]
    return datetime.fromisoformat(state["recorded_until"]) if state["recorded_until"] else None


def wait_until_recorded(shop: DatabaseProject) -> None:
    """Wait until what was written before this call is stored."""
    known, now = recorded_until(shop), datetime.now(UTC) + timedelta(seconds=3)
    assert known
    eventually(lambda: (recorded_until(shop) or known) > now, 60)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)])
def test_after_the_machine_has_died_the_last_seconds_are_lost_at_most(project: SampleProject, engine: str) -> None:
    shop = DatabaseProject(project, engine)
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
    assert re.search(r"does not have 2020-01-01T00:00:00Z\n +needed: a moment from \S+ until \S+", told)
    told = shop.run("db", "backup", "--scheduled", code=1).stderr
    assert f"another command records the changes of backend: process {command.pid}" in told
    assert "any moment from" in shop.run("db", "list").stdout
    command.send_signal(15)
    eventually(lambda: command.poll() is not None)
    assert not [line for _, line in processes_of(project.folder) if "litestream" in line]
