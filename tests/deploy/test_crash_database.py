"""Killed anywhere: no migration without a verified backup, none run twice, none half-recorded; data restored or not."""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fork_server
from database_project import DatabaseProject, app_source, migrator_source
from sample_project import SampleProject

IN_TURN = (1, 1)
SPREAD = [pytest.param(first, 4, marks=pytest.mark.exhaustive) for first in range(1, 5)]
"""Four deployments that together are killed at every write, each process having gone on for four."""

FIRST_MIGRATED = 16
"""About where the migration begins; what comes before is the same as where nothing fails."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", [pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"])
@pytest.mark.parametrize(("first", "every"), [IN_TURN, *SPREAD])
def test_one_migration_killed_at_every_write_in_turn_runs_once(
    project: SampleProject, first: int, every: int, engine: str
) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.query("CREATE TABLE ran (number integer)")
    shop.write_migration("002_more.sql", "INSERT INTO ran VALUES (2);\nCREATE TABLE more (id integer);\n")
    commit = project.commit()
    known = len([backup for backup in shop.backups() if backup["verified"]])
    has_run = False
    for code in relay(shop, "deploy", "--yes", first=first, every=every):
        ran = shop.query("SELECT number FROM ran")
        noted = shop.query("SELECT filename FROM migrations WHERE filename = '002_more.sql'")
        assert len(ran) == len(noted) <= 1, "both or neither, and once"
        assert not has_run or ran
        if ran and not has_run:
            has_run = True
            assert len([backup for backup in shop.backups() if backup["verified"]]) > known, "without a verified backup"
        if code == 0:
            break
    assert has_run
    assert project.served_commits()["backend"] == commit
    assert shop.leftover_copies() == []
    assert len(fork_server.relay_writes(project.folder)) > 30


@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(("first", "every"), [IN_TURN, *SPREAD])
def test_one_restore_killed_at_every_write_in_turn_is_whole(
    project: SampleProject, first: int, every: int, engine: str
) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.run("db", "backup")
    good = shop.backups()[0]["name"].rpartition("/")[2]
    before = shop.orders_digest()
    shop.insert_orders(5)
    expected = {before, shop.orders_digest()}
    for _ in relay(shop, "db", "restore", good, "--yes", first=first, every=every):
        assert shop.orders_digest() in expected, "what was, or what is restored: nothing between"
        if len(expected) > 1 and shop.orders_digest() == before:
            shop.insert_orders(1)  # users go on, on what is restored
            expected = {shop.orders_digest()}
        if project.latest_deployment()["kind"] == "restore" and project.latest_deployment()["finished"] is not None:
            break
    assert len(expected) == 1
    assert shop.leftover_copies() == []
    assert len(fork_server.relay_writes(project.folder)) > 5


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize(("first", "every"), [IN_TURN, *((FIRST_MIGRATED + late, 4) for late in range(4))])
def test_one_failure_after_the_migration_killed_at_every_write_in_turn_is_taken_back(
    project: SampleProject, first: int, every: int
) -> None:
    shop, before, commit = _failing_after_its_migration(project)
    schemas = [before]
    for _ in relay(shop, "deploy", "--yes", first=first, every=every):
        schemas.append(shop.schema())
        if project.latest_deployment()["state"] == "turned-back":
            break
    assert schemas[-1] == before
    changes = sum(one != other for one, other in itertools.pairwise(schemas))
    assert changes == 2 or (changes < 2 and every > 1), "there and back, once"
    assert shop.query("SELECT filename FROM migrations") == [("001_orders.sql",)]
    assert project.served_commits()["backend"] == commit
    assert shop.leftover_copies() == []


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


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize(("first", "every"), [IN_TURN, *SPREAD])
def test_one_rollback_killed_at_every_write_in_turn_takes_the_schema_back_once(
    project: SampleProject, first: int, every: int
) -> None:
    shop = _migrated_by_a_command(project)
    shop.deploy()
    project.commit(step_py=migrator_source(price=True))
    shop.deploy()
    schemas = [shop.schema()]
    for _ in relay(shop, "rollback", "--reason", "no", "--yes", first=first, every=every):
        schemas.append(shop.schema())
        if project.latest_deployment()["kind"] == "rollback" and project.latest_deployment()["finished"]:
            break
    assert not [
        event["message"]
        for event in project.latest_deployment()["events"]
        if "the schema was not reverted" in event["message"]
    ]
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


def relay(shop: DatabaseProject, *arguments: str, first: int, every: int) -> Iterator[int]:
    return fork_server.run_crash_relay(
        shop.project.folder,
        *arguments,
        moment="before" if every == 1 else "both",
        first=first,
        every=every,
        variables=shop.variables,
    )
