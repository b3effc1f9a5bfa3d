"""Deployments on this machine, as a person at the terminal makes them."""

import json
import os
import re
import signal
import socket
import sqlite3
import threading
import urllib.error
from contextlib import closing

import pytest

from sample_project import (
    HEALTHY,
    NEVER_HEALTHY,
    UNHEALTHY_AFTER_REQUESTS,
    SampleProject,
    eventually,
    free_ports,
    get_json,
    wait_for_exit,
)


@pytest.mark.smoke
def test_a_release_goes_out_and_the_same_again_does_nothing(project: SampleProject) -> None:
    commit = project.commit()
    project.deploy("--env", "local")
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    status = project.status()
    assert status["release"] == "v1"
    assert status["deployment"]["state"] == "succeeded"
    assert status["lock"] is None
    for name, port in (("frontend", project.frontend_port), ("backend", project.backend_port)):
        service = status["services"][name]
        assert service["commit"] == commit
        assert service["health"] == "healthy"
        assert service["url"] == f"http://127.0.0.1:{port}"
        assert service["artifact"].startswith("sha256:")
        assert service["platform"] == "local"
    again = project.deploy()
    assert "nothing to do" in again.stdout
    assert project.status()["deployment"]["id"] == status["deployment"]["id"]


def test_an_unhealthy_candidate_never_gets_users_and_both_services_stay(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    project.config["services"]["backend"]["health"]["start"] = "2s"
    project.commit("Break it", app_py=project.app_source(NEVER_HEALTHY))
    failed = project.deploy(code=1)
    assert "status 503" in failed.stdout
    assert project.served_commits() == {"frontend": good, "backend": good}
    assert project.latest_deployment()["state"] == "turned-back"
    assert len(_instances(project)) == 2  # the router and the old backend: the candidate is gone


def test_a_version_that_fails_with_users_turns_all_services_back(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    project.config["environments"]["local"]["settle"] = "20s"
    project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    over = threading.Event()
    users = threading.Thread(target=_use, args=(project, over))
    users.start()
    failed = project.deploy(code=1)
    over.set()
    users.join()
    assert "status 503" in failed.stdout
    assert project.served_commits() == {"frontend": good, "backend": good}
    told = project.latest_deployment()
    assert told["state"] == "turned-back"
    assert any(event["chapter"] == "turn-back" for event in told["events"])


def test_alone_turns_only_the_failing_service_back(project: SampleProject) -> None:
    good = project.commit()
    project.deploy()
    project.config["on_failure"] = "alone"
    project.config["environments"]["local"]["settle"] = "4s"
    bad = project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    over = threading.Event()
    users = threading.Thread(target=_use, args=(project, over))
    users.start()
    project.deploy(code=1)
    over.set()
    users.join()
    assert project.served_commits() == {"frontend": bad, "backend": good}
    assert {name: one["health"] for name, one in project.status()["services"].items()} == {
        "frontend": "healthy",
        "backend": "healthy",
    }


def test_the_first_release_that_fails_leaves_nothing(project: SampleProject) -> None:
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.commit(app_py=project.app_source(NEVER_HEALTHY))
    project.deploy(code=1)
    assert project.status()["services"] == {}
    with pytest.raises(urllib.error.URLError):
        get_json(project.frontend_port)
    assert len(_instances(project)) == 1


def test_a_failing_build_shows_its_last_lines_and_the_others_are_told(project: SampleProject) -> None:
    project.config["services"]["frontend"]["build"]["run"] = "echo the disk is made of cheese; exit 7"
    project.config["services"]["backend"]["build"] = "sleep 60"
    project.commit()
    failed = project.deploy(code=1)
    assert "the disk is made of cheese" in failed.stdout
    assert "exit code 7" in failed.stdout
    assert "stopped because frontend failed" in failed.stdout


def test_a_hanging_build_is_ended(project: SampleProject) -> None:
    project.config["services"]["frontend"]["build"] |= {"run": "echo begun; sleep 600", "timeout": "1s"}
    project.commit()
    failed = project.deploy(code=1)
    assert "timed out after 1 s" in failed.stdout
    assert "│ begun" in failed.stdout


def test_a_command_that_is_not_there_is_a_clear_error(project: SampleProject) -> None:
    project.config["services"]["backend"]["run"] = "exec no-such-program --port $PORT"
    project.commit()
    failed = project.deploy(code=1)
    assert "exit code 127" in failed.stdout
    assert "no-such-program" in failed.stdout


def test_a_program_that_listens_elsewhere_is_not_taken_for_healthy(project: SampleProject) -> None:
    project.config["services"]["backend"]["health"]["start"] = "1s"
    project.config["services"]["backend"]["run"] = "exec sleep 1000"
    project.commit()
    failed = project.deploy(code=1)
    assert "$PORT" in failed.stdout


def test_a_port_that_is_taken_is_told_with_its_owner(project: SampleProject) -> None:
    with socket.create_server(("127.0.0.1", project.backend_port)):
        failed = project.deploy(code=1)
    assert f"backend: port {project.backend_port} is taken by" in failed.stderr
    project.deploy()


def test_a_version_of_another_commit_is_not_healthy(project: SampleProject) -> None:
    stale = project.app_source('    return 200, {"commit": "0123456789abcdef0123456789abcdef01234567"}\n')
    project.commit(app_py=stale)
    failed = project.deploy(code=1)
    assert "answers for commit 0123456" in failed.stdout


def test_a_service_that_is_not_in_the_file_any_more_goes(project: SampleProject) -> None:
    project.deploy()
    backend = project.config["services"].pop("backend")
    placed = project.config["environments"]["local"].pop("backend")
    project.commit("Sell by telephone")
    assert re.search(r"- backend +remove +no longer in this release", project.run("plan").stdout)
    project.deploy()
    assert set(project.status()["services"]) == {"frontend"}
    assert [name for name in _instances(project) if name.startswith("backend")] == []
    with pytest.raises(urllib.error.URLError):
        get_json(project.backend_port)
    project.run("rollback", "--yes", "--reason", "the telephone is out of order")
    assert get_json(project.backend_port)["release"] == "v1"
    project.config["services"]["backend"], project.config["environments"]["local"]["backend"] = backend, placed
    project.commit()
    project.deploy()
    assert set(project.status()["services"]) == {"frontend", "backend"}


def test_needs_orders_the_candidates(project: SampleProject) -> None:
    project.config["services"]["frontend"]["needs"] = ["backend"]
    project.commit()
    assert "backend → frontend" in project.run("plan").stdout
    project.deploy()
    told = [(event["service"], event["chapter"], event["kind"]) for event in project.latest_deployment()["events"]]
    assert told.index(("backend", "check", "finished")) < told.index(("frontend", "stage", "started"))


def test_the_steps_of_a_deployment_have_a_fixed_order(project: SampleProject) -> None:
    for number in range(6):
        project.config["services"][f"more-{number}"] = dict(project.config["services"]["frontend"])
        project.config["environments"]["local"][f"more-{number}"] = {"local": {"port": free_ports(1)[0]}}
    project.commit()
    project.deploy()
    with closing(sqlite3.connect(project.folder / ".abreast" / "ledger.db")) as database:
        query = "SELECT key FROM entries WHERE kind = 'step' AND subject = ? ORDER BY seq"
        steps = [name for (name,) in database.execute(query, [project.latest_deployment()["id"]])]
    assert [step.split("/")[0] for step in steps] == ["version", "turn", "watch", "settle", ""]


def test_only_what_changed_is_deployed_and_the_plan_says_why(project: SampleProject) -> None:
    project.config["services"]["frontend"]["watch"] = ["page/**"]
    project.config["services"]["backend"]["watch"] = ["app.py"]
    first = project.commit()
    project.deploy()
    second = project.commit(app_py=project.app_source(HEALTHY) + "\n# changed\n")
    plan = json.loads(project.run("plan", "--json").stdout)
    assert plan["services"]["frontend"]["action"] == "keep"
    assert plan["services"]["backend"] == {
        "action": "deploy", "why": "app.py changed (app.py)", "commit": second, "notes": [], "database": None, "attestation": None, "strategy": "blue-green",
        "changed": [{"file": "app.py", "pattern": "app.py"}],
    }  # fmt: skip
    project.deploy()
    assert project.served_commits() == {"frontend": first, "backend": second}


def test_what_is_deployed_is_what_was_committed(project: SampleProject) -> None:
    commit = project.commit()
    (project.folder / "app.py").write_text("this is no program")
    refused = project.deploy(code=2)
    assert "uncommitted changes: app.py" in refused.stderr
    allowed = project.deploy("--allow-dirty")
    assert "uncommitted changes are not deployed: app.py" in allowed.stdout
    assert project.served_commits()["backend"] == commit


def test_rollback_brings_the_release_before_back(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    second = project.commit()
    project.deploy()
    project.run("rollback", "--yes", "--reason", "test")
    assert project.served_commits() == {"frontend": first, "backend": first}
    assert sorted(project.built_services(first)) == ["backend", "frontend"]  # not built again
    project.run("unlock", "--release", "v2")
    project.run("rollback", "--yes", "--reason", "test", "--to", "v2", "--service", "backend")
    assert project.served_commits() == {"frontend": first, "backend": second}


def test_an_interrupt_turns_back_where_nobody_can_be_asked(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit()
    deploying = project.start("deploy", "--yes")
    eventually(lambda: project.latest_deployment()["chapter"] == "watch", 90)
    deploying.send_signal(signal.SIGINT)
    assert wait_for_exit(deploying) == 1
    assert project.served_commits() == {"frontend": first, "backend": first}


def test_a_second_deploy_waits_and_a_newer_one_takes_its_place(project: SampleProject) -> None:
    go = project.folder.parent / "go"
    project.config["services"]["backend"]["build"] = f"until [ -e {go} ]; do sleep 0.05; done"
    project.commit()
    running = project.start("deploy", "--yes")
    eventually(lambda: project.latest_deployment()["state"] == "running")
    second = project.commit()
    older = project.start("deploy", "--yes")
    eventually(lambda: "waiting for local" in older.output)
    newer = project.start("deploy", "--yes")
    assert wait_for_exit(older) == 3
    assert "so this one gave up" in older.output
    go.touch()
    assert wait_for_exit(running) == 0
    assert wait_for_exit(newer) == 0
    assert project.served_commits() == {"frontend": second, "backend": second}


@pytest.mark.parametrize("harm", ["empty", "gone"])
def test_a_ledger_that_is_lost_is_not_taken_for_a_new_one(project: SampleProject, harm: str) -> None:
    project.deploy()
    served = project.served_commits()
    ledger, kept = project.folder / ".abreast" / "ledger.db", project.folder.parent / "kept"
    kept.mkdir()
    for file in project.folder.glob(".abreast/ledger.db*"):
        file.rename(kept / file.name)
    if harm == "empty":
        ledger.touch()
    project.commit()
    lost = "ledger.db is missing or empty, but deployments ran with it"
    for command in (("deploy", "--yes"), ("status",), ("rollback", "--yes", "--reason", "x")):
        told = project.run(*command, code=1).stderr
        assert lost in told
        assert "put it back" in told
    assert project.served_commits() == served
    assert lost in project.run("down", "--yes").stderr, "what runs here can be stopped without it"
    with pytest.raises(urllib.error.URLError):
        get_json(project.backend_port)
    for file in kept.iterdir():
        file.rename(ledger.with_name(file.name))
    assert project.status()["release"] == "v1"


def test_an_operators_lock_keeps_deployments_out(project: SampleProject) -> None:
    project.run("lock", "--reason", "moving house")
    refused = project.deploy(code=3)
    assert "moving house" in refused.stderr
    assert "abreast unlock" in refused.stderr
    project.run("unlock")
    project.deploy()


def test_a_service_that_crashes_later_is_started_again(project: SampleProject) -> None:
    project.deploy()
    before = _instances(project)
    backend = next(name for name in before if name.startswith("backend"))
    os.kill(before[backend], signal.SIGKILL)
    eventually(lambda: _instances(project)[backend] != before[backend])
    eventually(lambda: project.status()["services"]["backend"]["health"] == "healthy")


def test_two_environments_side_by_side(project: SampleProject) -> None:
    front, back = free_ports(2)
    project.config["environments"]["development"] = {
        "settle": "300ms", "frontend": {"local": {"port": front}}, "backend": {"local": {"port": back}}
    }  # fmt: skip
    commit = project.commit()
    running = [project.start("deploy", "--yes", "--env", name) for name in ("local", "development")]
    assert [wait_for_exit(each) for each in running] == [0, 0]
    assert get_json(back)["commit"] == get_json(project.backend_port)["commit"] == commit
    project.run("down", "--env", "development", "--yes")


def test_a_failed_deployment_leaves_no_work_folder_not_even_that_of_a_killed_one(project: SampleProject) -> None:
    work = project.folder / ".abreast" / "work"
    (work / "01OLD-1.going" / "node_modules").mkdir(parents=True)
    (work / "01OLD-1.going" / "node_modules").chmod(0o555)
    project.config["services"]["backend"]["build"] = "mkdir -p node_modules/a; chmod 555 node_modules; exit 1"
    project.commit()
    project.deploy(code=1)
    eventually(lambda: not list(work.iterdir()))


def _use(project: SampleProject, over: threading.Event) -> None:
    while not over.is_set():
        get_json(project.backend_port)
        over.wait(0.05)


def _instances(project: SampleProject) -> dict[str, int]:
    records = (project.folder / ".abreast" / "local" / "local" / "instances").glob("*.json")
    return {record.stem: json.loads(record.read_text())["identity"]["pid"] for record in records}
