"""Killed anywhere: no migration without a verified backup, none run twice, none half-recorded; data restored or not."""

import itertools
import sys

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
        known = len([one for one in shop.backups() if one["verified"]])
        moment = "before" if number // GROUPS % 2 else "after"
        if crash(shop, number, moment, "deploy", "--yes") == 0:
            assert number > 30
            break
        killed += 1
        verified = len([one for one in shop.backups() if one["verified"]])
        ran = shop.query(f"SELECT count(*) FROM ran WHERE number = {file}") == [(1,)]
        noted = shop.query(f"SELECT count(*) FROM migrations WHERE filename = '{file:03}_more.sql'") == [(1,)]
        assert ran == noted, "both or neither"
        assert not ran or verified > known, "no migration without a verified backup"
        if shop.run("resume", code=None).returncode != 0:
            shop.deploy()
        assert shop.query(f"SELECT count(*) FROM ran WHERE number = {file}") == [(1,)], "once"
        assert shop.query(f"SELECT count(*) FROM migrations WHERE filename = '{file:03}_more.sql'") == [(1,)]
        assert project.served_commits()["backend"] == commit
        assert shop.leftover_copies() == []
    else:
        pytest.fail("the deployment never ended by itself")
    assert killed


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


@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(2))
def test_killed_at_every_write_of_a_failure_after_the_migration(project: SampleProject, group: int) -> None:
    shop = DatabaseProject(project)
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.commit()
    shop.deploy()
    shop.insert_orders(5)
    before, first = shop.schema(), project.served_commits()["backend"]
    for number in range(FIRST_MIGRATED + group, MOST, 2):
        shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
        shop.write_migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
        project.commit(app_py=app_source('assert "rehearsal" in url'))
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


@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(2))
def test_a_command_that_takes_the_schema_back_does_so_once_wherever_it_is_killed(
    project: SampleProject, group: int
) -> None:
    shop = DatabaseProject(project)
    project.config["services"]["backend"]["database"] = {
        "url": "${SHOP_DATABASE_URL}",
        "command": f"{sys.executable} step.py up",
        "down": f"{sys.executable} step.py down",
    }
    project.commit(step_py=migrator_source(price=False))
    shop.deploy()
    for number in range(FIRST_BACK + group, MOST, 2):
        project.commit(step_py=migrator_source(price=True))
        shop.deploy()
        assert "price" in str(shop.schema())
        code = crash(shop, number, "before" if number // 2 % 2 else "after", "rollback", "--reason", "no", "--yes")
        if project.latest_deployment()["finished"] is None:
            shop.run("resume")
        events = project.latest_deployment()["events"]
        assert not [one["message"] for one in events if "the schema keeps" in one["message"]]
        assert "price" not in str(shop.schema())
        if code == 0:
            break
    else:
        pytest.fail("the rollback never ended by itself")


def crash(shop: DatabaseProject, number: int, moment: str, *arguments: str) -> int:
    done = fork_server.run_command(
        shop.project.folder, *arguments, variables=shop.variables, killed_at=(number, moment)
    )
    return int(done.returncode)
