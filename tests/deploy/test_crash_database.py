"""Killed anywhere: no migration without a verified backup, none run twice, none half-recorded; data restored or not."""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fork_server
from database_project import DatabaseProject, app_source, migrator_source
from sample_project import SampleProject

MOST = 70
GROUPS = 4
FIRST_BACK = 16
FIRST_MIGRATED = 16
"""About where the migration begins; what comes before is the same as where nothing fails."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", [pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"])
def test_one_migration_killed_at_every_write_in_turn_runs_once(project: SampleProject, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.query("CREATE TABLE ran (number integer)")
    shop.write_migration("002_more.sql", "INSERT INTO ran VALUES (2);\nCREATE TABLE more (id integer);\n")
    commit = project.commit()
    known = len([backup for backup in shop.backups() if backup["verified"]])
    has_run = False
    for code in relay(shop, "deploy", "--yes"):
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
def test_one_restore_killed_at_every_write_in_turn_is_whole(project: SampleProject, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.run("db", "backup")
    good = shop.backups()[0]["name"].rpartition("/")[2]
    before = shop.orders_digest()
    shop.insert_orders(5)
    expected = {before, shop.orders_digest()}
    for _ in relay(shop, "db", "restore", good, "--yes"):
        assert shop.orders_digest() in expected, "what was, or what is restored: nothing between"
        if len(expected) > 1 and shop.orders_digest() == before:
            shop.insert_orders(1)  # users go on, on what is restored
            expected = {shop.orders_digest()}
        if project.latest_deployment()["kind"] == "restore" and project.latest_deployment()["finished"] is not None:
            break
    assert len(expected) == 1
    assert shop.leftover_copies() == []
    assert len(fork_server.relay_writes(project.folder)) > 5


def verified_backups(shop: DatabaseProject) -> set[str]:
    return {backup["name"] for backup in shop.backups() if backup["verified"]}


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("group", range(GROUPS))
def test_killed_at_every_write_of_a_deployment_that_migrates(project: SampleProject, group: int, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.query("CREATE TABLE ran (number integer)")
    files = itertools.count(2)
    killed = 0
    for number in range(1 + group, MOST, GROUPS):
        file = next(files)
        shop.write_migration(
            f"{file:03}_more.sql", f"INSERT INTO ran VALUES ({file});\nCREATE TABLE more_{file} (id integer);\n"
        )
        commit = project.commit()
        known = verified_backups(shop)
        moment = "before" if number // GROUPS % 2 else "after"
        if crash(shop, number, moment, "deploy", "--yes") == 0:
            assert number > 30
            break
        killed += 1
        ran = shop.query(f"SELECT count(*) FROM ran WHERE number = {file}") == [(1,)]
        noted = shop.query(f"SELECT count(*) FROM migrations WHERE filename = '{file:03}_more.sql'") == [(1,)]
        assert ran == noted, "both or neither"
        assert not ran or verified_backups(shop) - known, "no migration without a verified backup"
        if shop.run("resume", code=None).returncode != 0:
            shop.deploy()
        assert shop.query(f"SELECT count(*) FROM ran WHERE number = {file}") == [(1,)], "once"
        assert shop.query(f"SELECT count(*) FROM migrations WHERE filename = '{file:03}_more.sql'") == [(1,)]
        assert project.served_commits()["backend"] == commit
        assert shop.leftover_copies() == []
    else:
        pytest.fail("the deployment never ended by itself")
    assert killed


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_at_every_write_of_a_restore(project: SampleProject, engine: str) -> None:
    shop = DatabaseProject(project, engine)
    shop.deploy()
    shop.insert_orders(20)
    shop.run("db", "backup")
    good = shop.backups()[0]["name"].rpartition("/")[2]
    before = shop.orders_digest()
    for number in range(1, MOST):
        shop.insert_orders(5)
        now = shop.orders_digest()
        moment = "before" if number % 2 else "after"
        if crash(shop, number, moment, "db", "restore", good, "--yes") == 0:
            assert number > 5
            break
        assert shop.orders_digest() in {before, now}, "what was, or what is restored: nothing between"
        if expected := shop.orders_digest() == before and before:
            shop.insert_orders(1)  # users go on, on what is restored
            expected = shop.orders_digest()
        under_way = project.latest_deployment()["finished"] is None
        if shop.run("resume", code=None).returncode != 0:
            shop.run("db", "restore", good, "--yes")
        assert shop.orders_digest() == (expected if expected and under_way else before)
        shop.run("db", "restore", good, "--yes")
        assert shop.leftover_copies() == []
    else:
        pytest.fail("the restore never ended by itself")


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
def test_one_failure_after_the_migration_killed_at_every_write_in_turn_is_taken_back(project: SampleProject) -> None:
    shop, before, first = _failing_after_its_migration(project)
    schemas = [before]
    for _ in relay(shop, "deploy", "--yes"):
        schemas.append(shop.schema())
        if project.latest_deployment()["state"] == "turned-back":
            break
    assert schemas[-1] == before
    assert sum(one != other for one, other in itertools.pairwise(schemas)) == 2, "there and back, once"
    assert shop.query("SELECT filename FROM migrations") == [("001_orders.sql",)]
    assert project.served_commits()["backend"] == first
    assert shop.leftover_copies() == []


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(2))
def test_killed_at_every_write_of_a_failure_after_the_migration(project: SampleProject, group: int) -> None:
    shop, before, first = _failing_after_its_migration(project)
    for number in range(FIRST_MIGRATED + group, MOST, 2):
        project.commit()
        moment = "before" if number // 2 % 2 else "after"
        code = crash(shop, number, moment, "deploy", "--yes")
        if project.latest_deployment()["finished"] is None:
            shop.run("resume", code=1)
        assert project.latest_deployment()["state"] == "turned-back"
        assert shop.schema() == before
        assert shop.query("SELECT filename FROM migrations") == [("001_orders.sql",)]
        assert project.served_commits()["backend"] == first
        assert shop.leftover_copies() == []
        if code == 1:
            break
    else:
        pytest.fail("the deployment never ended by itself")


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
def test_one_rollback_killed_at_every_write_in_turn_takes_the_schema_back_once(project: SampleProject) -> None:
    shop = _migrated_by_a_command(project)
    shop.deploy()
    project.commit(step_py=migrator_source(price=True))
    shop.deploy()
    schemas = [shop.schema()]
    for _ in relay(shop, "rollback", "--reason", "no", "--yes"):
        schemas.append(shop.schema())
        if project.latest_deployment()["kind"] == "rollback" and project.latest_deployment()["finished"]:
            break
    assert not [
        event["message"] for event in project.latest_deployment()["events"] if "the schema stays" in event["message"]
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


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(2))
def test_a_command_that_takes_the_schema_back_does_so_once_wherever_it_is_killed(
    project: SampleProject, group: int
) -> None:
    shop = _migrated_by_a_command(project)
    shop.deploy()
    for number in range(FIRST_BACK + group, MOST, 2):
        project.commit(step_py=migrator_source(price=True))
        shop.deploy()
        assert "price" in str(shop.schema())
        code = crash(shop, number, "before" if number // 2 % 2 else "after", "rollback", "--reason", "no", "--yes")
        if project.latest_deployment()["finished"] is None:
            shop.run("resume")
        events = project.latest_deployment()["events"]
        assert not [event["message"] for event in events if "the schema keeps" in event["message"]]
        assert "price" not in str(shop.schema())
        if code == 0:
            break
    else:
        pytest.fail("the rollback never ended by itself")


def relay(shop: DatabaseProject, *arguments: str) -> Iterator[int]:
    return fork_server.run_crash_relay(shop.project.folder, *arguments, variables=shop.variables)


def crash(shop: DatabaseProject, number: int, moment: str, *arguments: str) -> int:
    done = fork_server.run_command(
        shop.project.folder, *arguments, variables=shop.variables, killed_at=(number, moment)
    )
    return int(done.returncode)
