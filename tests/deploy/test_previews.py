"""Each pull request gets an environment of its own. What it did not change is shared, and all of it goes away again."""

import json
import re
import signal
import urllib.request
from typing import Any

import psycopg
import pytest

import fork_server
import postgres_server
from database_project import DatabaseProject, app_source
from preview_project import AS_PREVIEW, PREVIEW, PreviewOfDatabase
from sample_project import APP_SOURCE, NEVER_HEALTHY, SampleProject, get_text


@pytest.fixture
def shop(project: SampleProject) -> SampleProject:
    """The sample project on a branch: its frontend routes to the backend, and its environment has previews."""
    services, environment = project.config["services"], project.config["environments"]["local"]
    services["frontend"] |= {"folder": "site", "routes": {"/api": "backend"}}
    services["backend"]["watch"] = ["app.py"]
    environment["preview"] = True
    change_site(project, "first")
    project.deploy()
    return project


def change_site(project: SampleProject, text: str) -> str:
    (project.folder / "site").mkdir(exist_ok=True)
    (project.folder / "site" / "text").write_text(text)
    return project.commit(text)


def services_of(project: SampleProject, environment: str = PREVIEW) -> dict[str, Any]:
    told = json.loads(project.run("status", "--env", environment, "--json").stdout)
    return dict(told["environments"][environment]["services"])


def api_commit(services: dict[str, Any]) -> str:
    """Return the commit of the backend that a frontend's users reach."""
    with urllib.request.urlopen(f"{services['frontend']['url']}/api/x", timeout=10) as answer:
        return str(json.load(answer)["commit"])


@pytest.mark.smoke
def test_what_a_pull_request_did_not_change_is_shared(shop: SampleProject) -> None:
    base = services_of(shop, "local")
    head = change_site(shop, "of the pull request")
    planned = shop.run("plan", *AS_PREVIEW).stdout
    assert re.search(r"\+ frontend +deploy +site/text changed \(site/\*\*\)", planned)
    assert f"= backend   keep    shared with local: no change since v1 ({base['backend']['commit'][:7]})" in planned
    shop.deploy(*AS_PREVIEW)
    preview = services_of(shop)
    assert preview.keys() == {"frontend"}
    assert json.loads(get_text(preview["frontend"]["url"]))["commit"] == head
    assert preview["frontend"]["url"] != base["frontend"]["url"]
    assert api_commit(preview) == base["backend"]["commit"]
    assert services_of(shop, "local") == base

    second = shop.commit("Backend", app_py=shop.app_source('    return 200, {"new": 1}\n'))
    told = shop.deploy(*AS_PREVIEW).stdout
    assert "as it is, since it leads users to the new address of backend" in told
    both = services_of(shop)
    assert both["frontend"]["url"] == preview["frontend"]["url"]
    assert api_commit(both) == both["backend"]["commit"] == second
    assert api_commit(services_of(shop, "local")) == base["backend"]["commit"]

    shop.run("down", *AS_PREVIEW, "--yes")
    assert PREVIEW not in json.loads(shop.run("status", "--json").stdout)["environments"]
    for gone in both.values():
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(gone["url"], timeout=5)
    assert not (shop.folder / ".abreast" / "local" / PREVIEW).exists()
    assert services_of(shop, "local") == base
    shop.deploy(*AS_PREVIEW)
    assert services_of(shop).keys() == {"frontend", "backend"}


def test_only_what_a_pull_request_changed_is_its_own(shop: SampleProject) -> None:
    base = services_of(shop, "local")
    shop.commit("Docs")
    assert "nothing to do" in shop.deploy(*AS_PREVIEW).stdout
    assert "was never deployed" in shop.run("down", *AS_PREVIEW, "--yes").stdout
    a_preview_that_fails_leaves_nothing_and_can_be_removed(shop)
    assert services_of(shop, "local") == base

    head = shop.commit("Backend", app_py=shop.app_source('    return 200, {"new": 1}\n'))
    assert "+ frontend  deploy  it leads users to backend" in shop.run("plan", *AS_PREVIEW).stdout
    shop.deploy(*AS_PREVIEW)
    assert api_commit(services_of(shop)) == head
    shop.run("down", *AS_PREVIEW, "--yes")
    shop.commit("Without the backend", app_py=APP_SOURCE)
    an_earlier_release_of_a_preview_keeps_what_came_later(shop)
    others_work_on_the_main_branch_is_no_change_of_the_pull_request(shop)


def a_preview_that_fails_leaves_nothing_and_can_be_removed(shop: SampleProject) -> None:
    health = shop.config["services"]["backend"]["health"]
    health["start"] = "2s"
    shop.commit("Broken", app_py=shop.app_source(NEVER_HEALTHY))
    shop.deploy(*AS_PREVIEW, code=1)
    assert services_of(shop) == {}
    shop.run("down", *AS_PREVIEW, "--yes")
    health["start"] = "20s"


def an_earlier_release_of_a_preview_keeps_what_came_later(shop: SampleProject) -> None:
    first = change_site(shop, "one")
    shop.deploy(*AS_PREVIEW)
    assert services_of(shop).keys() == {"frontend"}
    release = services_of(shop)["frontend"]["release"]
    change_site(shop, "two")
    backend = shop.commit("Backend", app_py=shop.app_source('    return 200, {"new": 1}\n'))
    shop.deploy(*AS_PREVIEW)
    told = shop.run("rollback", *AS_PREVIEW, "--to", release, "--reason", "x", "--yes").stdout
    assert f"= backend   keep    not in {release}" in told
    services = services_of(shop)
    assert services["frontend"]["commit"] == first
    assert api_commit(services) == backend


def others_work_on_the_main_branch_is_no_change_of_the_pull_request(shop: SampleProject) -> None:
    shop.git("branch", "pull-request")
    shop.commit("Others", app_py=shop.app_source('    return 200, {"others": 1}\n'))
    shop.deploy()
    shop.git("checkout", "-q", "pull-request")
    (shop.folder / "site" / "text").write_text("mine")
    shop.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "Mine")
    planned = json.loads(shop.run("plan", "--env", "local-pr-18", "--json").stdout)["services"]
    assert {name: part["action"] for name, part in planned.items()} == {"frontend": "deploy", "backend": "keep"}


def test_previews_that_nobody_needs_are_removed(shop: SampleProject) -> None:
    change_site(shop, "mine")
    for number in (17, 18):
        shop.deploy("--env", f"local-pr-{number}")
    told = shop.run("down", "--expired", "--yes")
    assert "0 removed, 2 left" in told.stdout
    assert "pull requests were not looked at" in told.stderr
    shop.config["environments"]["local"]["preview"] = {"ttl": "1ms"}
    shop.commit("Short-lived")
    shop.run("lock", "--env", "local-pr-18", "--reason", "a demonstration")
    told = shop.run("down", "--expired", "--yes", code=1)
    assert "1 removed, 1 left" in told.stdout
    assert "a demonstration" in told.stderr
    assert "local-pr-18" in json.loads(shop.run("status", "--json").stdout)["environments"]
    shop.run("unlock", "--env", "local-pr-18")
    del shop.config["environments"]["local"]["preview"]
    shop.commit("No previews")
    told = shop.run("down", "--expired", "--yes")
    assert "local-pr-18: local has no previews any more" in told.stdout
    assert "1 removed, 0 left" in told.stdout
    assert services_of(shop, "local").keys() == {"frontend", "backend"}
    assert "local has no previews" in shop.run("plan", "--env", "local-pr-18", code=2).stderr


# ── databases ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_preview_has_a_database_of_its_own(project: SampleProject, engine: str) -> None:
    shop = PreviewOfDatabase(project, engine, "empty")
    preview = project.config["environments"]["local"]["preview"]
    for data, orders, planned in (("empty", 0, "make it anew, empty"), ("backup", 100, "make it anew, from local")):
        preview["database"] = data
        shop.base.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
        project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
        assert planned in shop.base.run("plan", *AS_PREVIEW).stdout
        assert "the first deployment makes it" in shop.base.run("doctor", *AS_PREVIEW, code=None).stdout
        assert not shop.exists()
        shop.base.deploy(*AS_PREVIEW)
        assert "no verified backup" not in shop.base.run("doctor", *AS_PREVIEW, code=None).stdout
        assert shop.query("SELECT count(*), count(price) FROM orders") == [(orders, 0)]
        assert (shop.base.orders_digest(), shop.base.schema()) == shop.before
        if data == "backup":
            later_migrations_are_made_in_it(shop, orders)
        it_is_made_anew_for_a_migration_that_changed(shop, orders)
        shop.base.run("down", *AS_PREVIEW, "--yes")
        assert not shop.exists()
        assert (shop.base.orders_digest(), shop.base.schema()) == shop.before
    a_migration_command_reaches_it(shop)


def later_migrations_are_made_in_it(shop: PreviewOfDatabase, orders: int) -> None:
    project = shop.base.project
    shop.base.write_migration("003_colour.sql", "ALTER TABLE orders ADD COLUMN colour text;\n")
    project.commit("Colour")
    shop.base.deploy(*AS_PREVIEW)
    assert shop.query("SELECT count(*), count(colour) FROM orders") == [(orders, 0)]


def it_is_made_anew_for_a_migration_that_changed(shop: PreviewOfDatabase, orders: int) -> None:
    shop.base.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer DEFAULT 7;\n")
    shop.base.project.commit("Changed a migration that ran")
    told = shop.base.deploy(*AS_PREVIEW)
    assert "what is in the preview's database now is lost" in told
    assert shop.query("SELECT count(price) FROM orders") == [(orders,)]


def a_migration_command_reaches_it(shop: PreviewOfDatabase) -> None:
    project = shop.base.project
    project.config["environments"]["local"]["preview"]["database"] = "empty"
    settings = project.config["services"]["backend"]["database"]
    del settings["migrations"]
    settings["command"] = "exec python3 migrate.py"
    name = "DATABASE_URL" if shop.base.engine == "sqlite" else "ORDERS_DB"
    source = app_source().partition("import os, sys, time")[0] + f"import os, sqlite3\nurl = os.environ[{name!r}]\n"
    source += "db = sqlite3.connect(url.removeprefix('sqlite:///')) if url.startswith('sqlite') else Connection(url)\n"
    source += "db.execute('CREATE TABLE orders (id integer PRIMARY KEY, product text)')\n"
    source += "db.execute(\"INSERT INTO orders VALUES (1, 'tea')\")\ndb.commit()\n"
    project.commit(migrate_py=source, app_py=app_source())
    shop.base.deploy(*AS_PREVIEW)
    assert shop.query("SELECT product FROM orders") == [("tea",)]
    assert (shop.base.orders_digest(), shop.base.schema()) == shop.before


def test_a_role_that_may_not_create_databases_needs_another_for_that(project: SampleProject) -> None:
    role = postgres_server.create_role()
    shop = DatabaseProject(project, "postgresql")
    shop.url = postgres_server.create_database(role)
    shop.variables["SHOP_DATABASE_URL"] = shop.url
    project.config["environments"]["local"]["preview"] = True
    settings = project.config["services"]["backend"]["database"]
    settings["admin"] = postgres_server.server_url().rpartition("/")[0] + "/" + shop.url.rpartition("/")[2]
    shop.variables["ADMIN_URL"], settings["admin"] = settings["admin"], "${ADMIN_URL}"
    project.commit("Start")
    shop.deploy()
    project.commit("Mine", app_py=app_source() + "\n# mine\n")
    shop.deploy(*AS_PREVIEW)
    url = shop.url + "_preview-17"
    with psycopg.connect(url) as db:  # as the application's role, which owns what is there
        assert db.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        assert db.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'orders'").fetchone() == (role,)
    shop.run("down", *AS_PREVIEW, "--yes")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
    del settings["admin"]
    project.commit("Without")
    told = shop.run("deploy", *AS_PREVIEW, "--yes", code=1)
    assert "permission denied to create database" in told.stdout


# ── killed ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(280)
def test_a_preview_killed_at_any_write_is_removed_wholly(project: SampleProject) -> None:
    shop = PreviewOfDatabase(project, "postgresql", "backup")
    shop.base.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    project.commit("Mine")
    deploy, ended = ("deploy", "--yes", *AS_PREVIEW), 0
    for number in range(2, 200, 4):
        killed = (None, "after", number)
        done = fork_server.run_command(project.folder, *deploy, variables=shop.base.variables, killed_at=killed)
        ended = done.returncode
        shop.base.run("down", *AS_PREVIEW, "--yes")
        assert not shop.exists()
        assert not (project.folder / ".abreast" / "local" / PREVIEW).exists()
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert ended == 0
    assert all(found["finished"] for found in json.loads(project.run("history", "--limit", "99", "--json").stdout))
    assert (shop.base.orders_digest(), shop.base.schema()) == shop.before


@pytest.mark.timeout(280)
def test_a_preview_killed_at_every_write_in_turn_goes_on(project: SampleProject) -> None:
    shop = PreviewOfDatabase(project, "sqlite", "backup")
    shop.base.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    project.commit("Mine")
    deploy = ("deploy", "--yes", *AS_PREVIEW)
    for moment in ("before", "after"):
        codes = list(fork_server.run_crash_relay(project.folder, *deploy, moment=moment, variables=shop.base.variables))
        assert codes[-1] == 0, moment
        assert len(codes) > 20
        assert shop.query("SELECT count(*), count(price) FROM orders") == [(100, 0)]
        assert (shop.base.orders_digest(), shop.base.schema()) == shop.before
        shop.base.run("down", *AS_PREVIEW, "--yes")
        fork_server.forget_relay(project.folder)
