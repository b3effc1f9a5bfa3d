"""Killed anywhere: no migration without a verified backup, none run twice, none half-recorded; data restored or not."""

import itertools
import sys

import pytest

import forks
from project import Project
from shop import Shop, app, step

MOST = 70
GROUPS = 4
FIRST_BACK = 16
FIRST_MIGRATED = 16
"""About where the migration begins; what comes before is the same as where nothing fails."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("group", range(GROUPS))
def test_killed_at_every_write_of_a_deployment_that_migrates(project: Project, group: int, engine: str) -> None:
    shop = Shop(project, engine)
    shop.deploy()
    shop.fill(20)
    shop.ask("CREATE TABLE ran (number integer)")
    files = itertools.count(2)
    killed = 0
    for number in range(1 + group, MOST, GROUPS):
        file = next(files)
        shop.migration(
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
        ran = shop.ask(f"SELECT count(*) FROM ran WHERE number = {file}") == [(1,)]
        noted = shop.ask(f"SELECT count(*) FROM migrations WHERE filename = '{file:03}_more.sql'") == [(1,)]
        assert ran == noted, "both or neither"
        assert not ran or verified > known, "no migration without a verified backup"
        if shop.run("resume", code=None).returncode != 0:
            shop.deploy()
        assert shop.ask(f"SELECT count(*) FROM ran WHERE number = {file}") == [(1,)], "once"
        assert shop.ask(f"SELECT count(*) FROM migrations WHERE filename = '{file:03}_more.sql'") == [(1,)]
        assert project.served()["backend"] == commit
        assert shop.leftovers() == []
    else:
        pytest.fail("the deployment never ended by itself")
    assert killed


@pytest.mark.timeout(280)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_killed_at_every_write_of_a_restore(project: Project, engine: str) -> None:
    shop = Shop(project, engine)
    shop.deploy()
    shop.fill(20)
    shop.run("db", "backup")
    good = shop.backups()[0]["name"].rpartition("/")[2]
    before = shop.fingerprint()
    for number in range(1, MOST):
        shop.fill(5)
        now = shop.fingerprint()
        moment = "before" if number % 2 else "after"
        if crash(shop, number, moment, "db", "restore", good, "--yes") == 0:
            assert number > 5
            break
        assert shop.fingerprint() in {before, now}, "what was, or what is restored: nothing between"
        if expected := shop.fingerprint() == before and before:
            shop.fill(1)  # users go on, on what is restored
            expected = shop.fingerprint()
        under_way = project.latest()["finished"] is None
        if shop.run("resume", code=None).returncode != 0:
            shop.run("db", "restore", good, "--yes")
        assert shop.fingerprint() == (expected if expected and under_way else before)
        shop.run("db", "restore", good, "--yes")
        assert shop.leftovers() == []
    else:
        pytest.fail("the restore never ended by itself")


@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(2))
def test_killed_at_every_write_of_a_failure_after_the_migration(project: Project, group: int) -> None:
    shop = Shop(project)
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.commit()
    shop.deploy()
    shop.fill(5)
    before, first = shop.schema(), project.served()["backend"]
    for number in range(FIRST_MIGRATED + group, MOST, 2):
        shop.migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
        shop.migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
        project.commit(app_py=app('assert "rehearsal" in url'))
        moment = "before" if number // 2 % 2 else "after"
        code = crash(shop, number, moment, "deploy", "--yes")
        if project.latest()["finished"] is None:
            shop.run("resume", code=1)
        assert project.latest()["state"] == "turned-back"
        assert shop.schema() == before
        assert shop.ask("SELECT filename FROM migrations") == [("001_orders.sql",)]
        assert project.served()["backend"] == first
        assert shop.leftovers() == []
        if code == 1:
            break
    else:
        pytest.fail("the deployment never ended by itself")


@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(2))
def test_a_command_that_takes_the_schema_back_does_so_once_wherever_it_is_killed(project: Project, group: int) -> None:
    shop = Shop(project)
    project.config["services"]["backend"]["database"] = {
        "url": "${SHOP_DATABASE_URL}",
        "command": f"{sys.executable} step.py up",
        "down": f"{sys.executable} step.py down",
    }
    project.commit(step_py=step(price=False))
    shop.deploy()
    for number in range(FIRST_BACK + group, MOST, 2):
        project.commit(step_py=step(price=True))
        shop.deploy()
        assert "price" in str(shop.schema())
        code = crash(shop, number, "before" if number // 2 % 2 else "after", "rollback", "--reason", "no", "--yes")
        if project.latest()["finished"] is None:
            shop.run("resume")
        events = project.latest()["events"]
        assert not [one["text"] for one in events if "the schema stays" in one["text"]]
        assert "price" not in str(shop.schema())
        if code == 0:
            break
    else:
        pytest.fail("the rollback never ended by itself")


def crash(shop: Shop, number: int, moment: str, *arguments: str) -> int:
    done = forks.run(shop.project.folder, *arguments, variables=shop.variables, killed_at=(number, moment))
    return int(done.returncode)
