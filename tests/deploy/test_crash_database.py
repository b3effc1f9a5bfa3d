"""Killed anywhere: no migration without a verified backup, none run twice, none half-recorded; data restored or not.

Each story is killed before every write in turn, so what the write records has happened and is not known; or before every
second, and so twice, which together are killed at every write too. How many writes a process makes has nothing to do with the engine: each story meets each of both once.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fork_server
from crash_relay import latest_deployment
from database_project import DatabaseProject, app_source, migrator_source
from sample_project import SampleProject

FIRST_MIGRATED = 16
"""About where the migration begins; what comes before is the same as where nothing fails."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("every", "engine"), [(1, "postgresql"), (2, "sqlite")])
def test_one_migration_killed_at_every_write_in_turn_runs_once(project: SampleProject, every: int, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.query("CREATE TABLE ran (number integer)")
    for first in range(1, every + 1):
        _kill_in_turn_while_it_migrates(shop, f"{first + 1:03}", first, every)


def _kill_in_turn_while_it_migrates(shop: DatabaseProject, number: str, first: int, every: int) -> None:
    name = f"{number}_more.sql"
    shop.write_migration(name, f"INSERT INTO ran VALUES ({number});\nCREATE TABLE more_{number} (id integer);\n")
    commit = shop.project.commit()
    known = _verified_backups(shop)
    has_run = False
    for code in relay(shop, "deploy", "--yes", first=first, every=every):
        ran, noted = shop.query(
            f"SELECT (SELECT count(*) FROM ran WHERE number = {number}),"
            f" (SELECT count(*) FROM migrations WHERE filename = '{name}')"
        )[0]
        assert ran == noted <= 1, "both or neither, and once"
        assert not has_run or ran
        if ran and not has_run:
            has_run = True
            assert _verified_backups(shop) > known, "without a verified backup"
        if code == 0:
            break
    assert has_run
    assert shop.project.served_commits()["backend"] == commit
    assert shop.leftover_copies() == []
    assert len(fork_server.relay_writes(shop.project.folder)) > 30
    fork_server.forget_relay(shop.project.folder)


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("every", "engine"), [(1, "sqlite"), (2, "postgresql")])
def test_one_restore_killed_at_every_write_in_turn_is_whole(project: SampleProject, every: int, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    for first in range(1, every + 1):
        _kill_in_turn_while_it_restores(shop, first, every)


def _kill_in_turn_while_it_restores(shop: DatabaseProject, first: int, every: int) -> None:
    shop.run("db", "backup")
    good = shop.backups()[0]["name"].rpartition("/")[2]
    before = shop.orders_digest()
    shop.insert_orders(5)
    expected = {before, shop.orders_digest()}
    known = latest_deployment(shop.project.folder).id
    for _ in relay(shop, "db", "restore", good, "--yes", first=first, every=every):
        found = shop.orders_digest()
        assert found in expected, "what was, or what is restored: nothing between"
        if len(expected) > 1 and found == before:
            shop.insert_orders(1)  # users go on, on what is restored
            expected = {shop.orders_digest()}
        latest = latest_deployment(shop.project.folder)
        if (latest.kind, latest.id != known) == ("restore", True) and latest.finished is not None:
            break
    assert len(expected) == 1
    assert shop.leftover_copies() == []
    assert len(fork_server.relay_writes(shop.project.folder)) > 5
    fork_server.forget_relay(shop.project.folder)


@pytest.mark.timeout(280)
def test_one_failure_after_the_migration_killed_at_every_write_in_turn_is_taken_back(project: SampleProject) -> None:
    shop, before, commit = _failing_after_its_migration(project)
    seen = set()
    for late in range(2):
        seen.add(_kill_in_turn_while_it_is_taken_back(shop, before, FIRST_MIGRATED + late))
        assert project.served_commits()["backend"] == commit
        project.commit()
    assert seen in ({2}, {0, 2}), "there and back, once; a process may live through both"


def _kill_in_turn_while_it_is_taken_back(shop: DatabaseProject, before: list[Any], first: int) -> int:
    """Return how often the schema changed."""
    schemas = [before]
    known = latest_deployment(shop.project.folder).id
    for _ in relay(shop, "deploy", "--yes", first=first, every=2):
        schemas.append(shop.schema())
        latest = latest_deployment(shop.project.folder)
        if latest.id != known and latest.state == "turned-back":
            break
    assert schemas[-1] == before
    assert shop.query("SELECT filename FROM migrations") == [("001_orders.sql",)]
    assert shop.leftover_copies() == []
    fork_server.forget_relay(shop.project.folder)
    return sum(one != other for one, other in itertools.pairwise(schemas))


def _failing_after_its_migration(project: SampleProject) -> tuple[DatabaseProject, list[Any], str]:
    """Return a shop whose next deployment migrates and then fails, its schema, and the commit that is served."""
    shop = DatabaseProject(project)
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.commit()
    shop.deploy()
    shop.insert_orders(5)
    before, first = shop.schema(), project.served_commits()["backend"]
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    shop.write_migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
    project.commit(app_py=app_source('assert "rehearsal" in url'))
    return shop, before, first


@pytest.mark.timeout(280)
def test_one_rollback_killed_at_every_write_in_turn_takes_the_schema_back_once(project: SampleProject) -> None:
    shop = _migrated_by_a_command(project)
    shop.deploy()
    project.commit(step_py=migrator_source(price=True))
    shop.deploy()
    schemas = [shop.schema()]
    known = latest_deployment(project.folder).id
    for _ in relay(shop, "rollback", "--reason", "no", "--yes", first=1, every=1):
        schemas.append(shop.schema())
        latest = latest_deployment(project.folder)
        if (latest.kind, latest.id != known) == ("rollback", True) and latest.finished:
            break
    events = [event["message"] for event in project.latest_deployment()["events"]]
    assert not [message for message in events if "the schema was not reverted" in message]
    assert "price" in str(schemas[0])
    assert "price" not in str(schemas[-1])
    assert sum(one != other for one, other in itertools.pairwise(schemas)) == 1


def _migrated_by_a_command(project: SampleProject) -> DatabaseProject:
    """Return a shop whose schema a command of its own brings up and takes back."""
    shop = DatabaseProject(project)
    project.config["services"]["backend"]["database"] = {
        "url": "${SHOP_DATABASE_URL}",
        "command": f"{sys.executable} step.py up",
        "down": f"{sys.executable} step.py down",
    }
    project.commit(step_py=migrator_source(price=False))
    return shop


def _verified_backups(shop: DatabaseProject) -> int:
    return len([backup for backup in shop.backups() if backup["verified"]])


def relay(shop: DatabaseProject, *arguments: str, first: int, every: int) -> Iterator[int]:
    return fork_server.run_crash_relay(
        shop.project.folder,
        *arguments,
        moment="before",
        first=first,
        every=every,
        variables=shop.variables,
    )
