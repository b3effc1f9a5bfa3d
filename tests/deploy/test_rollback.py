"""A rollback goes back one release, to one that was good for all services, and keeps out the one that was not."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from abreast.core.probes import FAILURE_THRESHOLD
from abreast.deploy.close_watch import INTERVAL
from all_receivers import Receivers, all_receivers
from database_project import DatabaseProject
from sample_project import APP_SOURCE, UNHEALTHY_AFTER_REQUESTS, SampleProject, eventually, get_json, wait_for_exit


@pytest.fixture
def backend(project: SampleProject) -> SampleProject:
    """The project with its backend alone."""
    project.config["services"].pop("frontend")
    project.config["environments"]["local"].pop("frontend")
    return project


@pytest.fixture
def releases(backend: SampleProject) -> list[str]:
    """Three releases of one service, the third one live. Their commits."""
    project, commits = backend, []
    for number in (1, 2, 3):
        commits.append(project.commit(f"Release {number}"))
        project.deploy()
    return commits


def served(project: SampleProject) -> str:
    return str(project.status()["services"]["backend"]["commit"])


def roll_back(project: SampleProject, *arguments: str, code: int = 0) -> str:
    done = project.run("rollback", "--yes", "--reason", "critical bug: orders fail", *arguments, code=code)
    return done.stdout + done.stderr


def test_a_release_that_was_rolled_back_stays_out_until_it_is_unlocked(
    project: SampleProject, releases: list[str]
) -> None:
    roll_back(project)
    again = roll_back(project, code=3)
    assert "it was rolled back to v2 already, at 20" in again, "one release, however often it is asked for"
    assert "next:   abreast rollback --env local --to v1 --reason …" in again
    assert served(project) == releases[1]
    out = "v3 was rolled back to v2"
    assert out in project.run("locks").stdout
    kept = json.loads(project.run("locks", "--json").stdout)["local"]["kept_out"]
    assert (kept["v3"]["commit"], kept["v3"]["reason"]) == (releases[2], "critical bug: orders fail")
    unlock = "abreast unlock --env local --release v3"
    for command in (("deploy", "--release", "v3"), ("rollback", "--to", "v3", "--reason", "x")):
        refused = project.run(*command, "--yes", code=3).stderr
        assert out in refused
        assert f"next:   {unlock}" in refused
    assert unlock in project.deploy().stdout, "its commit is superseded"
    fixed = project.commit("Fix it")
    project.deploy()
    assert served(project) == fixed, "the next commit goes out"
    assert out in project.run("deploy", "--yes", "--release", "v3", code=3).stderr, "and v3 stays out"
    roll_back(project)
    assert served(project) == releases[1], "v3 is passed over"
    assert "v2 is not kept out of local" in project.run("unlock", "--release", "v2", code=2).stderr
    assert "v3 may go to local again" in project.run("unlock", "--release", "3").stdout
    assert "v3" not in json.loads(project.run("locks", "--json").stdout)["local"]["kept_out"]
    project.run("deploy", "--yes", "--release", "v3")
    assert served(project) == releases[2]
    acts = [json.loads(line) for line in project.run("audit", "export").stdout.splitlines()]
    assert [act["detail"].split(" let ")[1] for act in acts if act["what"] == "unlock"] == ["v3 in again"]
    roll_back(project, "--to", "v1")
    assert served(project) == releases[0]


def test_what_it_goes_back_to(project: SampleProject, releases: list[str]) -> None:
    a_damaged_artifact_is_told_before_anything_happens(project)
    assert served(project) == releases[2]
    project.deploy("--force")
    assert "note: v3 is the same as v4" in roll_back(project), "it goes to something else than what is live"
    assert served(project) == releases[1]
    for release in ("v3", "v4"):
        project.run("unlock", "--release", release)
    project.deploy()
    assert served(project) == releases[2], "a commit that was unlocked may be deployed again"

    shown = json.loads(project.run("show", "v2", "--json").stdout)
    assert shown["commit"] == releases[1]
    shutil.rmtree(project.folder / ".abreast" / "artifacts" / artifact_of(project, "v2"))
    anew = "v2 would be built anew"
    assert f"{anew}, since its artifacts are gone: backend" in roll_back(project)
    assert served(project) == releases[0], "what would have to be built anew is passed over"
    assert "is kept out" in roll_back(project, "--to", "v2", code=3)
    project.run("unlock", "--release", "v2")
    assert anew in roll_back(project, "--to", "v2"), "and built anew if it is named"
    assert served(project) == releases[1]
    assert len(project.built_services(releases[1])) == 2


def a_damaged_artifact_is_told_before_anything_happens(project: SampleProject) -> None:
    file = project.folder / ".abreast" / "artifacts" / artifact_of(project, "v2") / "app.py"
    built = file.read_text()
    file.chmod(0o644)
    file.write_text("print('not what was built')")
    assert "backend of v2: " in roll_back(project, code=1)
    assert project.latest_deployment()["kind"] == "deploy", "nothing was begun"
    file.write_text(built)


def artifact_of(project: SampleProject, release: str) -> str:
    """Return the name of the folder of a release's artifact."""
    import sqlite3  # noqa: PLC0415

    with sqlite3.connect(project.folder / ".abreast" / "ledger.db") as db:
        query = "SELECT json_extract(entry, '$.data.artifact') FROM entries WHERE kind = 'part' AND subject = ?"
        ((digest,),) = db.execute(query, (release,)).fetchall()
    return str(digest).removeprefix("sha256:")


# ── compatibility first ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def shop(project: SampleProject) -> DatabaseProject:
    """v1 uses a column, v2 does not, v3 drops it and cannot be reversed."""
    shop = DatabaseProject(project)
    project.config["environments"]["local"]["breaking"] = "block"
    project.commit()
    shop.write_migration("001_orders.down.sql", "DROP TABLE orders;\n")
    project.commit()
    shop.deploy()
    project.commit("Stop using notes")
    shop.deploy()
    text = "-- contract: v2 reads no notes\n-- irreversible: they are gone\nALTER TABLE orders DROP COLUMN note;\n"
    shop.write_migration("002_note.sql", text)
    project.commit()
    shop.deploy()
    return shop


def test_a_release_that_the_schema_is_too_new_for_is_refused(shop: DatabaseProject) -> None:
    live = shop.project.served_commits()
    refused = shop.run("rollback", "--to", "v1", "--yes", "--reason", "data corruption: no", code=3).stderr
    assert "the schema is too new for that release:" in refused
    assert "backend: 002_note.sql:3: the column orders.note is dropped" in refused
    assert "they are not reverted: 002_note.sql has no down step" in refused
    assert "--restore-data" in refused
    assert shop.project.served_commits() == live
    told = shop.run("rollback", "--yes", "--reason", "data corruption: no").stdout
    assert "BREAKING" not in told, "its contract holds for v2, which ran before it"
    assert "the schema is not reverted" in told


def test_it_takes_what_a_release_needs_as_it_is_now(backend: SampleProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project, service = backend, backend.config["services"]["backend"]
    service["env"] = {"API_TOKEN": "${SHOP_TOKEN}"}
    project.commit("v1 needs a token")
    project.deploy(variables={"SHOP_TOKEN": "first-value-of-it"})
    del service["env"]
    latest = project.commit("v2 does not")
    project.deploy()
    assert "backend of v1: not set: SHOP_TOKEN" in roll_back(project, code=2)
    assert served(project) == latest
    assert project.latest_deployment()["kind"] == "deploy", "nothing was begun"
    monkeypatch.setenv("SHOP_TOKEN", "first-value-of-it")
    roll_back(project)
    assert project.latest_deployment()["release"] == "v1"

    service["env"] = {"API_TOKEN": "${SHOP_TOKEN}", "GREETING": "old"}
    project.commit("With a token")
    project.deploy()
    before = project.latest_deployment()["release"]
    service["env"]["GREETING"] = "new"
    project.commit("Another greeting")
    monkeypatch.setenv("SHOP_TOKEN", "second-value-of-it")
    project.deploy()
    told = roll_back(project)
    assert "secrets keep their present values, which are newer than the release: API_TOKEN" in told
    assert project.latest_deployment()["release"] == before


# ── a failure under users ──────────────────────────────────────────────────────────────────────


def deploy_sick(project: SampleProject, *arguments: str) -> str:
    """Deploy a release that users make sick, and return what the command printed."""
    project.config["environments"][environment(project)]["settle"] = "60s"
    project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = project.start("deploy", "--yes", *arguments)
    while deploying.poll() is None:
        with suppress(OSError, ValueError):
            get_json(project.backend_port)
        time.sleep(0.1)
    assert deploying.returncode == 1
    project.config["environments"][environment(project)]["settle"] = "0s"
    return deploying.output


def environment(project: SampleProject) -> str:
    return str(next(iter(project.config["environments"])))


def production(project: SampleProject) -> str:
    """Return the commit that is live there."""
    status = json.loads(project.run("status", "--json").stdout)
    return str(status["environments"]["production"]["services"]["backend"]["commit"])


def test_a_release_that_fails_under_users_locks_production(backend: SampleProject) -> None:
    """v1 and v2 were good in an environment named production; v3 falls sick under users, and is turned back."""
    project = backend
    project.config["environments"]["production"] = project.config["environments"].pop("local")
    first = project.commit()
    project.deploy()
    project.commit("Second")
    project.deploy()
    told = deploy_sick(project)
    assert "production is locked until somebody has looked at it\nthen: abreast unlock --env production" in told
    failed = project.latest_deployment()
    assert failed["state"] == "turned-back"
    held = json.loads(project.run("locks", "--json").stdout)["production"]
    assert (held["by"], held["deployment"]) == ("abreast", failed["id"])
    assert held["reason"].startswith("v3 failed and was turned back: backend: was healthy, then failed")
    fixed = project.commit("Fixed", app_py=APP_SOURCE)
    refused = project.deploy(code=3).stderr
    assert "production is locked by abreast since" in refused
    assert "next:   abreast unlock --env production" in refused
    assert "was left out" not in project.run("notify", "send").stderr
    roll_back(project)
    assert production(project) == first, "a rollback goes on"
    project.run("unlock")
    project.deploy()
    assert production(project) == fixed


def test_what_fails_before_users_see_it_locks_nothing(project: SampleProject) -> None:
    project.config["environments"]["local"]["lock_after_failure"] = True
    project.commit()
    project.deploy()
    project.commit("Does not start", app_py="raise SystemExit('no')\n")
    project.deploy(code=1)
    assert project.run("locks").stdout == "no environment is locked\n"


# ── confirmed by a person ──────────────────────────────────────────────────────────────────────


def test_a_person_confirms_what_users_have(backend: SampleProject) -> None:
    project = backend
    for _ in range(2):
        project.commit()
        project.deploy()
    told = project.run("confirm", "v1", code=3).stderr
    assert "v1 is not live in local: v2 is" in told
    assert "next:   abreast confirm v2 --env local" in told
    assert " confirmed v2 in local" in project.run("confirm", "v2", "--reason", "orders look right").stdout
    assert "there is no release 'v9'" in project.run("confirm", "v9", code=2).stderr
    project.commit()
    project.deploy()
    told = roll_back(project)
    assert "note: v2 was confirmed by " in told
    assert "was rolled back to v2" in project.run("confirm", "v3", code=3).stderr
    project.commit("Broken", app_py="raise SystemExit('no')\n")
    project.deploy(code=1)
    assert "v4 was never live in local" in project.run("confirm", "v4", code=2).stderr
    roll_back(project, "--to", "v1")
    assert " confirmed v1 in local" in project.run("confirm", "v1").stdout
    project.run("down", "--yes")
    assert "v1 is not live in local: nothing is" in project.run("confirm", "v1", code=3).stderr
    acts = [json.loads(line) for line in project.run("audit", "export").stdout.splitlines()]
    said = [(act["outcome"], act["why"], act["release"]) for act in acts if act["what"] == "confirm"]
    assert [outcome for outcome, *_ in said] == ["refused", "done", "refused", "done", "refused"]
    assert said[1] == ("done", "orders look right", "v2")


# ── emergencies ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    with all_receivers(tmp_path) as made:
        yield made


def test_after_an_emergency_people_are_told_when_it_degrades_and_recovers(
    project: SampleProject, receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in receivers.variables.items():
        monkeypatch.setenv(name, value)
    project.config["notify"] = {"webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"}}
    sick = tmp_path / "sick"
    health = f'    return (503 if os.path.exists("{sick}") else 200), {{}}\n'
    project.commit(app_py=project.app_source(health))
    project.deploy()
    project.commit("Slow")
    project.deploy()
    before = len(receivers.events)
    told = roll_back(project, "--emergency")
    assert "EMERGENCY: a candidate goes live with its first healthy answer" in told
    assert "watched closely until 20" in told
    project.run("maintenance", "on", "--reason", "a new disk")
    time.sleep((FAILURE_THRESHOLD + 2) * INTERVAL)
    project.run("maintenance", "off")
    assert receivers.events[before:] == ["deployment.emergency", "deployment.succeeded"]
    sick.touch()
    eventually(lambda: receivers.events[-1] == "environment.degraded")
    assert "SEV1      open" in project.run("incident").stdout
    sick.unlink()
    eventually(lambda: receivers.events[-1] == "environment.recovered")
    assert "SEV3      resolved" in project.run("incident").stdout
    deployment = project.latest_deployment()
    assert watchers(deployment["id"])
    project.run("confirm", deployment["release"])
    eventually(lambda: not watchers(deployment["id"]))


def test_an_emergency_that_turns_back_a_running_deployment_is_watched_too(
    project: SampleProject, releases: list[str]
) -> None:
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit("Slow")
    deploying = project.start("deploy", "--yes")
    eventually(lambda: project.latest_deployment()["chapter"] == "watch", 90)
    project.run("confirm", "v3")
    assert "watched closely until 20" in roll_back(project, "--emergency")
    assert wait_for_exit(deploying) == 1
    assert served(project) == releases[2]
    turned_back = project.latest_deployment()["id"]
    eventually(lambda: watchers(turned_back))
    time.sleep(3)  # it looks once, and the confirmation of before does not end it
    assert watchers(turned_back)
    project.run("confirm", "v3", "--reason", "it answers")
    eventually(lambda: not watchers(turned_back))
    project.config["environments"]["local"]["settle"] = "300ms"
    project.commit("Quick")
    the_close_watch_ends_with_the_environment_and_is_not_begun_on_a_runner(project)


def the_close_watch_ends_with_the_environment_and_is_not_begun_on_a_runner(project: SampleProject) -> None:
    roll_back(project, "--emergency")
    deployment = project.latest_deployment()["id"]
    eventually(lambda: watchers(deployment))
    project.run("down", "--yes")
    eventually(lambda: not watchers(deployment))
    run = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "ABREAST_STATE": ".abreast", "GITHUB_TOKEN": ""}
    emergency = ("rollback", "--yes", "--emergency", "--to", "v1", "--reason", "x")
    assert "nobody watches it after this run" in project.run(*emergency, variables=run).stdout


def watchers(deployment: str) -> list[str]:
    """Return the processes that watch what a deployment put live."""
    wanted = [b"abreast.cli.close_watch", deployment.encode()]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes()
            found += [process.name] if all(word in line for word in wanted) else []
    return found
