"""``breaking: maintenance``: users get the page while a migration runs that the running version cannot live with."""

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path

import pytest

import fork_server
from database_project import DatabaseProject, app_source
from limits import scaled
from sample_project import SampleProject

BREAKS = "ALTER TABLE orders RENAME COLUMN product TO title;\n"
NEW_APP = app_source('db.execute("SELECT title FROM orders LIMIT 1")')
FAILS_LIVE = app_source('os.environ["ABREAST_REHEARSAL"]')
"""Healthy in the rehearsal only."""

FIRST_MIGRATED = 16
"""A write about where the migration begins; before it, users are asked for nothing."""

FAILS_UNDER_USERS = NEW_APP.replace("    return 200, {}\n", "    return (503 if ANSWERED > 5 else 200), {}\n")


@pytest.fixture
def shop(project: SampleProject) -> DatabaseProject:
    """A site, and a backend with a database behind it, live; a migration that breaks it is allowed by maintenance."""
    project.config["services"]["frontend"]["routes"] = {"/api": "backend"}
    project.config["environments"]["local"]["breaking"] = "maintenance"
    # a previous version is waited for in vain while its schema is not back
    project.config["services"]["backend"]["health"]["start"] = f"{scaled(4):.0f}s"
    made = DatabaseProject(project)
    made.deploy()
    made.insert_orders(10)
    return made


def write_breaking(shop: DatabaseProject, app: str = NEW_APP, number: str = "002") -> None:
    """Commit a migration that breaks the running version, with a way back, and the version that needs it."""
    shop.write_migration(f"{number}_title.sql", BREAKS)
    shop.write_migration(f"{number}_title.down.sql", "-- safe\nALTER TABLE orders RENAME COLUMN title TO product;\n")
    shop.project.commit(app_py=app)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Users:
    """Users of the site, of the backend and of the backend behind the site, and what they got, in order."""

    def __init__(self, shop: DatabaseProject) -> None:
        ports = shop.project.frontend_port, shop.project.backend_port
        self.urls = [
            f"http://127.0.0.1:{ports[0]}/",
            f"http://127.0.0.1:{ports[1]}/",
            f"http://127.0.0.1:{ports[0]}/api/x",
        ]
        self.seen: dict[str, list[str]] = {url: [] for url in self.urls}
        self._done = threading.Event()

    def ask(self, url: str) -> None:
        while not self._done.is_set():
            self.seen[url].append(answered(url))
            time.sleep(0.01)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.ask, args=(url,)) for url in self.urls]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for url, thread in zip(self.urls, threads, strict=True):
                thread.join()
                self.seen[url].append(answered(url))

    def phases(self, url: str) -> list[str]:
        """Return what users got one after the other, each once."""
        return [name for name, _ in groupby(self.seen[url])]


def answered(url: str) -> str:
    """Return the release that answers, or "page"; anything else fails the test."""
    request = urllib.request.Request(url, headers={"accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["release"])
    except urllib.error.HTTPError as error:
        with error:
            assert json.load(error)["error"] == "maintenance"
        return "page"


def in_maintenance(shop: DatabaseProject) -> set[str]:
    document = json.loads(shop.run("maintenance", "--json").stdout)
    return set(document["environments"].get("local", {}))


def users_of_all(shop: DatabaseProject) -> set[str]:
    return {answered(url) for url in Users(shop).urls}


def test_users_get_the_page_from_a_breaking_migration_until_the_turn_and_only_then(shop: DatabaseProject) -> None:
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    shop.project.commit()
    assert "get the maintenance page" in shop.run("plan").stdout
    users = Users(shop)
    with users.asking():
        shop.deploy()
    assert {name for seen in users.seen.values() for name in seen} == {"v1", "v2"}

    write_breaking(shop, number="003")
    plan = shop.run("plan").stdout
    assert "BREAKING: " in plan
    expected = "users of backend, frontend get the maintenance page from the migration until traffic has switched"
    assert expected in plan
    users = Users(shop)
    with users.asking():
        told = shop.deploy()
    assert "users of backend, frontend get the maintenance page" in told
    assert "users reach backend, frontend again" in told
    for url in users.urls:
        assert users.phases(url) == ["v2", "page", "v3"], url
    assert in_maintenance(shop) == set()
    assert shop.query("SELECT title FROM orders WHERE id = 1") == [("tea 1",)]


def test_what_only_the_rehearsal_finds_out_shows_the_page_too(project: SampleProject) -> None:
    project.config["environments"]["local"]["breaking"] = "maintenance"
    shop = DatabaseProject(project, "postgresql")
    shop.deploy()
    rename = "BEGIN ALTER TABLE orders RENAME COLUMN product TO title; END"
    hidden = f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ {rename} $$;\nSELECT f();"
    shop.write_migration("002_title.sql", f"-- irreversible: a test\n{hidden}\n")
    project.commit(app_py=NEW_APP)
    note = "until traffic has switched, if the rehearsal shows that it breaks the running version"
    assert note in shop.run("plan").stdout
    users = Users(shop)
    del users.urls[2]
    with users.asking():
        shop.deploy()
    assert users.phases(users.urls[1]) == ["v1", "page", "v2"]
    assert users.phases(users.urls[0]) == ["v1", "v2"], "it does not route there"


def test_a_failed_migration_and_a_failed_candidate_lead_users_back_to_the_schema_that_they_had(
    shop: DatabaseProject,
) -> None:
    backend = shop.project.config["services"]["backend"]
    backend["database"]["lock_timeout"] = "1s"
    write_breaking(shop)
    holder = shop.connect()  # the migration succeeds on the copy, and fails in the real database, which a client holds
    holder.execute("BEGIN")
    holder.execute("SELECT * FROM orders").fetchone()
    try:
        told = shop.deploy(code=1)
    finally:
        holder.close()
    assert "users of backend, frontend get the maintenance page" in told
    assert in_maintenance(shop) == set()
    assert users_of_all(shop) == {"v1"}
    assert shop.query("SELECT product FROM orders WHERE id = 1") == [("tea 1",)]

    backend["health"]["start"] = "2s"
    write_breaking(shop, FAILS_LIVE)
    users = Users(shop)
    with users.asking():
        shop.deploy(code=1)
    for url in users.urls:
        assert users.phases(url) == ["v1", "page", "v1"], url
    assert in_maintenance(shop) == set()
    assert shop.query("SELECT product FROM orders WHERE id = 1") == [("tea 1",)]


def test_a_schema_that_stays_keeps_the_page_until_a_person_ends_it(shop: DatabaseProject) -> None:
    shop.project.config["services"]["backend"]["health"]["start"] = "2s"
    shop.write_migration("002_title.sql", f"-- irreversible: a test\n{BREAKS}")
    shop.project.commit(app_py=FAILS_LIVE)
    told = shop.deploy(code=1)
    assert "still get the maintenance page, since the schema stays" in told
    assert in_maintenance(shop) == {"backend", "frontend"}
    assert users_of_all(shop) == {"page"}
    shop.run("maintenance", "off")
    assert users_of_all(shop) == {"v1"}


def test_a_watch_that_fails_turns_back_behind_the_page(shop: DatabaseProject) -> None:
    shop.project.config["environments"]["local"]["settle"] = "20s"
    write_breaking(shop, FAILS_UNDER_USERS)
    users = Users(shop)
    with users.asking():
        shop.deploy(code=1)
    assert users.phases(users.urls[1]) == ["v1", "page", "v2", "page", "v1"]
    assert in_maintenance(shop) == set()


def test_services_that_a_person_put_into_maintenance_stay_in_it(shop: DatabaseProject) -> None:
    shop.run("maintenance", "on", "--service", "frontend", "--reason", "a new disk")
    write_breaking(shop)
    shop.deploy()
    assert in_maintenance(shop) == {"frontend"}
    assert answered(Users(shop).urls[1]) == "v2"
    shop.run("maintenance", "off")
    assert users_of_all(shop) == {"v2"}


def test_what_cannot_be_in_maintenance_is_refused_before_anything_is_done(
    shop: DatabaseProject, tmp_path: Path
) -> None:
    config = shop.project.config
    config["services"]["frontend"] |= {"env": {"DATABASE_URL": {"value": "${SHOP_DATABASE_URL}", "secret": True}}}
    del config["services"]["frontend"]["routes"]
    folder = tmp_path / "www"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder / "current")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = {"static-dir": {"to": str(folder), "url": f"http://127.0.0.1:{server.server_port}"}}
    config["environments"]["local"]["frontend"] = here
    shop.project.commit()
    shop.deploy()
    write_breaking(shop)
    what = "frontend cannot be in maintenance while its database is migrated: static-dir has no maintenance mode"
    assert what in shop.run("plan").stdout
    assert what in shop.deploy(code=3)
    config["environments"]["local"]["maintenance"] = {"page": "missing.html"}
    shop.project.commit()
    assert "missing.html cannot be read" in shop.run("plan").stdout
    server.shutdown()
    server.server_close()
    assert shop.query("SELECT product FROM orders WHERE id = 1") == [("tea 1",)]


@pytest.mark.timeout(400)
def test_killed_at_every_write_it_ends_without_the_page(shop: DatabaseProject) -> None:
    write_breaking(shop)
    relay = fork_server.run_crash_relay(
        shop.project.folder, "deploy", "--yes", moment="both", first=FIRST_MIGRATED, variables=shop.variables
    )
    codes = []
    for code in relay:
        codes.append(code)
        seen = {name == "page" for name in users_of_all(shop)}
        assert len(seen) == 1, "only some of the services are in maintenance"
        assert seen == {False} or len(codes) > 1, "the first kill was too late"
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert codes[-1] == 0
    assert any(name.startswith("maintenance ") for name in fork_server.relay_writes(shop.project.folder))
    assert in_maintenance(shop) == set()
    assert users_of_all(shop) in ({"v2"}, {"v3"}), "a number is left out if the command dies between number and plan"
