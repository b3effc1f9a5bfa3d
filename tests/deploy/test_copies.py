"""Copies of databases: what killed deployments left goes, what nobody knows stays, and a person can see and drop them."""

import json

import psycopg
import pytest

import postgres_server
from database_project import DatabaseProject
from sample_project import SampleProject, eventually

UNKNOWN = "01aaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, project: SampleProject) -> DatabaseProject:
    made = DatabaseProject(project, request.param)
    made.deploy()
    made.insert_orders(3)
    return made


def leave_copy(shop: DatabaseProject, name: str) -> None:
    """Leave a copy, as a deployment does that is killed."""
    if shop.engine == "sqlite":
        shop.sqlite_file.with_name(f".{shop.sqlite_file.name}.{name}").write_bytes(shop.sqlite_file.read_bytes())
    else:
        database = shop.url.rpartition("/")[2]
        with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
            db.execute(f'CREATE DATABASE "{database}_{name}"'.encode())


def copies(shop: DatabaseProject) -> list[str]:
    listed = json.loads(shop.run("db", "list", "--copies", "--json").stdout)
    return [copy["name"] for copy in listed["backend"]]


def test_the_next_deployment_removes_what_a_killed_one_left(shop: DatabaseProject) -> None:
    ended = shop.project.latest_deployment()["id"].lower()
    leave_copy(shop, f"verified-{ended}")
    leave_copy(shop, f"rehearsal-{UNKNOWN}")
    assert copies(shop) == [f"rehearsal-{UNKNOWN}", f"verified-{ended}"]
    listed = shop.run("db", "list", "--copies").stdout
    assert "left by a deployment that has ended; the next one removes it" in listed
    assert "made by a command, or by a project with another record" in listed
    assert f"verified-{ended}" in shop.run("db", "status").stdout
    assert f"killed deployments left copies: verified-{ended}" in shop.run("doctor", code=None).stdout
    assert f"removed leftovers of killed deployments: verified-{ended}" in shop.deploy()
    assert copies(shop) == [f"rehearsal-{UNKNOWN}"]
    assert shop.query("SELECT count(*) FROM orders") == [(3,)]


def test_what_a_restore_replaced_stays_until_a_person_drops_it(shop: DatabaseProject) -> None:
    shop.run("db", "backup")
    told = shop.run("db", "restore", "--yes").stdout
    assert ("have the file open wait until" if shop.engine == "sqlite" else "lose their connections") in told
    (archive,) = copies(shop)
    assert archive.startswith("before_")
    shop.project.commit()
    shop.deploy()
    assert copies(shop) == [archive]
    assert "there is no copy shop" in shop.run("db", "drop", "shop", "--yes", code=2).stderr
    assert "your consent" in shop.run("db", "drop", archive, code=2).stderr
    assert f"{archive} is gone" in shop.run("db", "drop", archive, "--yes").stdout
    assert copies(shop) == []
    assert shop.query("SELECT count(*) FROM orders") == [(3,)]


def test_a_copy_of_an_unfinished_deployment_is_not_dropped(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    project.config["services"]["frontend"]["build"]["run"] = "mkdir dist; sleep 100"
    project.commit()
    deploying = project.start("deploy", "--yes", variables=shop.variables)
    eventually(lambda: project.latest_deployment()["state"] == "running")
    name = f"verified-{project.latest_deployment()['id'].lower()}"
    leave_copy(shop, name)
    assert "is running" in shop.run("db", "drop", name, "--yes", code=3).stderr
    deploying.kill()
    assert "has not ended" in shop.run("db", "drop", name, "--yes", code=3).stderr
    shop.run("cancel", "--reason", "no")
    shop.run("db", "drop", name, "--yes")


def test_no_lock_file_is_left(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.run("db", "backup")
    assert sorted(file.name for file in shop.sqlite_file.parent.iterdir() if "shop.db" in file.name) == ["shop.db"]
