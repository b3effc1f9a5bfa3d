"""Maintenance across clouds: all named services or none, from any machine, and deployments go on behind it."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import postgres_server
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from database_project import FIRST_MIGRATION, app_source
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import SampleProject, eventually
from state_worlds import git

ON = ("maintenance", "on", "--reason", "a new disk", "--service", "frontend", "--service", "backend")


@pytest.fixture
def clouds(project: SampleProject, tmp_path: Path) -> Iterator[MultiCloudProject]:
    with multi_cloud_project(project, tmp_path) as found:
        found.deploy()
        yield found


def run(clouds: MultiCloudProject, *arguments: str, code: int = 0) -> str:
    done = clouds.project.run(*arguments, code=code, variables=clouds.variables)
    return done.stdout + done.stderr


def statuses(clouds: MultiCloudProject) -> list[int]:
    """Return with which status users of the site and of the API are answered."""
    urls = (f"{clouds.urls['netlify']}/s/shop/", f"{clouds.urls['render']}/r/api/")
    return [httpx2.get(url).status_code for url in urls]


def recorded(clouds: MultiCloudProject) -> set[str]:
    document = json.loads(clouds.project.run("maintenance", "--json").stdout)
    return set(document["environments"].get("local", {}))


def test_two_clouds_go_in_and_out_together_or_not_at_all(clouds: MultiCloudProject, tmp_path: Path) -> None:
    hugging_face_cannot_and_what_can_is_named(clouds)
    two_clouds_go_in_and_out_and_a_deployment_goes_on_behind(clouds)
    if_one_cannot_none_is(clouds)
    if_one_cannot_be_put_back_the_record_keeps_it_and_off_leads_out(clouds)
    another_machine_without_a_record_leads_out(clouds, tmp_path)
    a_failed_end_brings_the_projects_own_page_back(clouds)


def two_clouds_go_in_and_out_and_a_deployment_goes_on_behind(clouds: MultiCloudProject) -> None:
    assert "frontend: programs get the page too" in run(clouds, *ON)
    assert statuses(clouds) == [503, 503]
    shown = json.loads(clouds.project.run("status", "--json", variables=clouds.variables).stdout)
    frontend = shown["environments"]["local"]["services"]["frontend"]
    assert frontend["maintenance"]["reason"] == "a new disk"
    assert frontend["published"]["state"] == "recorded"
    commit = clouds.project.commit()
    clouds.deploy()
    assert statuses(clouds) == [503, 503]
    run(clouds, "maintenance", "off")
    assert statuses(clouds) == [200, 200]
    assert clouds.served_commits == clouds.all_at_commit(commit)


def if_one_cannot_none_is(clouds: MultiCloudProject) -> None:
    clouds.render.faults.planned.append(InjectedFault("PATCH", "/services/", FaultKind.STATUS, status=400))
    said = run(clouds, *ON, code=1)
    assert "so all services are as they were" in said
    assert statuses(clouds) == [200, 200]
    assert recorded(clouds) == set()
    run(clouds, *ON)
    clouds.render.faults.planned.append(InjectedFault("PATCH", "/services/", FaultKind.STATUS, status=400))
    assert "so all services are as they were" in run(clouds, "maintenance", "off", code=1)
    assert statuses(clouds) == [503, 503]
    assert recorded(clouds) == {"frontend", "backend"}
    run(clouds, "maintenance", "off")
    assert statuses(clouds) == [200, 200]


def if_one_cannot_be_put_back_the_record_keeps_it_and_off_leads_out(clouds: MultiCloudProject) -> None:
    times = float("inf")
    clouds.render.faults.planned.append(InjectedFault("PATCH", "/services/", FaultKind.STATUS, status=400))
    clouds.render.faults.planned.append(
        InjectedFault("GET", "/services/srv-api$", FaultKind.STATUS, times=times, skip=2, status=400)
    )
    assert "not known to be as before: backend" in run(clouds, *ON, code=1)
    assert recorded(clouds) == {"backend"}
    assert "interrupted while it was starting" in clouds.project.run("maintenance").stdout
    clouds.clear_faults()
    run(clouds, "maintenance", "off")
    assert (statuses(clouds), recorded(clouds)) == ([200, 200], set())


@pytest.mark.parametrize(("again", "reached"), [(ON, [503, 503]), (("maintenance", "off"), [200, 200])])
def test_killed_between_two_clouds_the_next_command_leads_out(
    clouds: MultiCloudProject, again: tuple[str, ...], reached: list[int]
) -> None:
    slow = InjectedFault("PATCH", "/services/", FaultKind.SLOW, delay=30)
    clouds.render.faults.planned.append(slow)
    command = clouds.project.start(*ON, variables=clouds.variables)
    eventually(lambda: statuses(clouds) == [503, 200])
    command.kill()
    assert recorded(clouds) == {"frontend", "backend"}
    assert "interrupted while it was starting" in clouds.project.run("maintenance").stdout
    clouds.clear_faults()
    run(clouds, *again)
    assert statuses(clouds) == reached
    run(clouds, "maintenance", "off")
    assert (statuses(clouds), recorded(clouds)) == ([200, 200], set())


def a_failed_end_brings_the_projects_own_page_back(clouds: MultiCloudProject) -> None:
    clouds.project.config["environments"]["local"]["maintenance"] = {"page": "away.html"}
    (clouds.project.folder / "away.html").write_text("<h1>ours</h1>")
    clouds.project.commit()
    run(clouds, *ON)
    clouds.render.faults.planned.append(InjectedFault("PATCH", "/services/", FaultKind.STATUS, status=400))
    run(clouds, "maintenance", "off", code=1)
    assert httpx2.get(f"{clouds.urls['netlify']}/s/shop/").text == "<h1>ours</h1>"
    assert "ours" not in (clouds.project.folder / ".abreast" / "ledger.db").read_bytes().decode(errors="replace")


def another_machine_without_a_record_leads_out(clouds: MultiCloudProject, tmp_path: Path) -> None:
    run(clouds, *ON)
    elsewhere = tmp_path / "elsewhere"
    ignored = shutil.ignore_patterns(".abreast")
    shutil.copytree(clouds.project.folder, elsewhere, ignore=ignored)
    here, clouds.project.folder = clouds.project.folder, elsewhere
    try:
        run(clouds, "maintenance", "off", "--service", "frontend", "--service", "backend")
    finally:
        clouds.project.folder = here
    assert statuses(clouds) == [200, 200]


def hugging_face_cannot_and_what_can_is_named(clouds: MultiCloudProject) -> None:
    refused = run(clouds, "maintenance", "on", "--reason", "r", code=2)
    assert "worker: huggingface has no maintenance mode; nothing was changed" in refused
    assert "next:   abreast maintenance on --env local --service backend --service frontend" in refused
    refused = run(clouds, *ON, "--allow", "203.0.113.7", code=2)
    assert "Netlify cannot let addresses through" in refused
    assert "Render cannot let addresses through" in refused
    assert statuses(clouds) == [200, 200]


def test_another_machine_reads_the_shared_record(clouds: MultiCloudProject, tmp_path: Path) -> None:
    shared, remote, elsewhere = {"ABREAST_STATE": "git"}, tmp_path / "remote.git", tmp_path / "elsewhere"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    clouds.project.git("remote", "add", "origin", str(remote))
    variables = {**clouds.variables, **shared}
    clouds.project.deploy("--force", variables=variables)
    clouds.project.run(*ON, variables=variables)
    shutil.copytree(clouds.project.folder, elsewhere, ignore=shutil.ignore_patterns(".abreast"))
    here, clouds.project.folder = clouds.project.folder, elsewhere
    try:
        assert "local: frontend is in maintenance" in clouds.project.run("maintenance", variables=variables).stdout
        clouds.project.run("maintenance", "off", variables=variables)
    finally:
        clouds.project.folder = here
    assert statuses(clouds) == [200, 200]
    assert "no service is in maintenance" in clouds.project.run("maintenance", variables=variables).stdout


def test_a_migration_that_breaks_what_is_live_on_two_clouds(clouds: MultiCloudProject) -> None:
    project, url = clouds.project, postgres_server.create_database()
    project.config["services"]["frontend"]["routes"] = {"/api": "backend"}
    project.config["services"]["backend"] |= {
        "database": {"url": "${SHOP_DATABASE_URL}", "migrations": "migrations"},
    }
    environment = project.config["environments"]["local"]
    environment["breaking"] = "maintenance"
    variables = {**clouds.variables, "SHOP_DATABASE_URL": url}
    (project.folder / "migrations").mkdir()
    (project.folder / "migrations" / "001_orders.sql").write_text(FIRST_MIGRATION)
    project.commit(app_py=app_source())
    project.deploy("--service", "backend", "--service", "frontend", variables=variables)
    (project.folder / "migrations" / "002_title.sql").write_text(
        "-- irreversible: a test\nALTER TABLE orders RENAME COLUMN product TO title;\n"
    )
    commit = project.commit(app_py=app_source('db.execute("SELECT title FROM orders LIMIT 1")'))
    seen, done = list[list[int]](), threading.Event()

    def ask() -> None:
        while not done.is_set():
            seen.append(statuses(clouds))
            time.sleep(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        told = project.deploy("--service", "backend", "--service", "frontend", variables=variables)
    finally:
        done.set()
        asking.join()
    assert "users of backend, frontend get the maintenance page" in told.stdout
    assert [503, 503] in seen
    assert {status for pair in seen for status in pair} == {200, 503}
    assert statuses(clouds) == [200, 200]
    assert {clouds.served_commits[name] for name in ("frontend", "backend")} == {commit}
