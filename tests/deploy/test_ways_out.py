"""From every state of a deployment a command leads to an end, and it is printed with the state."""

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fork_server
from abreast.core.next_commands import next_commands
from abreast.core.plan import DeploymentKind
from abreast.core.states import DeploymentState
from abreast.testing.process_tree import kill_everything_of
from fork_server import StartedCommand
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import (
    APP_SOURCE,
    UNHEALTHY_AFTER_REQUESTS,
    SampleProject,
    eventually,
    get_json,
    get_text,
    wait_for_exit,
)


def test_every_state_has_a_command_that_leads_out() -> None:
    for state, kind in itertools.product(DeploymentState, DeploymentKind):
        commands = next_commands(state, kind, "ID", "local")
        over = {DeploymentState.SUCCEEDED, DeploymentState.CANCELLED, DeploymentState.SUPERSEDED}
        assert bool(commands) == (state not in over), state


def watched(project: SampleProject) -> tuple[str, StartedCommand]:
    """Deploy a release, then one that will fail with users, until it is watched. Return the first commit."""
    first = project.commit()
    project.deploy()
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    before = project.latest_deployment()["id"]
    deploying = project.start("deploy", "--yes")
    eventually(lambda: project.latest_deployment()["id"] != before)
    eventually(lambda: project.latest_deployment()["chapter"] == "watch", 90)
    return first, deploying


def stuck(project: SampleProject) -> str:
    """Leave a deployment that could not be turned back, since the router's table is damaged. Return the old commit."""
    first, deploying = watched(project)
    for table in (project.folder / ".abreast" / "local" / "local" / "router").glob("table*.json"):
        table.write_text("{")
    project.run("cancel", "--reason", "no", code=4)
    assert wait_for_exit(deploying) == 4
    assert project.latest_deployment()["state"] == "stuck"
    return first


def printed_commands(text: str) -> list[str]:
    """Return the commands that a command offers next, without ``abreast``."""
    return re.findall(r"^(?:next: |or:   )abreast (.*)$", text, re.MULTILINE)


def test_a_stuck_deployment_offers_both_ways_and_each_leads_out(project: SampleProject) -> None:
    first = stuck(project)
    id_ = project.latest_deployment()["id"]
    offered = printed_commands(project.run("show").stdout)
    assert offered == [f"resume {id_}", f"resume {id_} --accept-as-it-is --reason …"]
    assert f"next: abreast {', or: abreast '.join(offered)}" in project.run("status").stdout
    assert ", or: abreast ".join(offered) in project.run("doctor", code=None).stdout
    for command in (("resume",), ("cancel", "--reason", "x"), ("rollback", "--yes", "--reason", "x")):
        assert printed_commands(project.run(*command, code=4).stdout) == offered
    refused = project.deploy(code=3)
    assert f"abreast resume {id_}, or: abreast resume {id_} --accept-as-it-is" in refused.stderr
    assert "no reason" in project.run("resume", "--accept-as-it-is", code=2).stderr
    accepted = project.run("resume", "--accept-as-it-is", "--reason", "the router is gone", code=0)
    assert "stays as it is" in accepted.stdout
    assert "the router is gone" in accepted.stdout
    assert project.latest_deployment()["state"] == "turned-back"
    project.run("down", "--yes")
    commit = project.commit("Good", app_py=project.app_source("    return 200, {}\n"))
    project.config["environments"]["local"]["settle"] = "300ms"
    commit = project.commit()
    project.deploy()
    assert project.served_commits() == {"frontend": commit, "backend": commit} != {"frontend": first, "backend": first}


def test_stuck_then_down_then_resume_starts_the_old_version_again(project: SampleProject) -> None:
    first = stuck(project)
    project.run("down", "--yes")
    done = project.run("resume", code=1)
    assert "the previous version is gone: starting it again" in done.stdout
    assert project.latest_deployment()["state"] == "turned-back"
    assert project.served_commits() == {"frontend": first, "backend": first}


def test_after_a_power_failure_the_old_version_answers_or_a_person_is_told(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"TOKEN": "${TOKEN}"}
    os.environ["TOKEN"] = "correct horse battery staple"
    try:
        first, _ = watched(project)
        lose_power(project)
        token = os.environ.pop("TOKEN")
        told = project.run("cancel", "--reason", "power", code=None)
        assert told.returncode != 0
        assert "TOKEN" in told.stdout + told.stderr
        os.environ["TOKEN"] = token
        project.run("cancel", "--reason", "power")
        assert project.served_commits() == {"frontend": first, "backend": first}
        assert get_json(project.backend_port)
    finally:
        os.environ.pop("TOKEN", None)


def test_after_a_reboot_status_prints_the_command_that_starts_what_was_live(project: SampleProject) -> None:
    commit = project.commit()
    project.deploy()
    project.commit("Not deployed yet")
    lose_power(project)
    told = project.run("status").stdout
    assert "not running: backend, frontend" in told
    (command,) = re.findall(r"next: abreast (.*)", told)
    project.run(*command.split(), "--yes")
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert "next:" not in project.run("status").stdout


def lose_power(project: SampleProject) -> None:
    """Kill everything of a project at once."""
    kill_everything_of(project.folder)


@pytest.fixture
def first_release(project: SampleProject, tmp_path: Path) -> Iterator[MultiCloudProject]:
    """A site at Netlify and a backend at Render that were never deployed."""
    folder = tmp_path / "clouds"
    folder.mkdir()
    with multi_cloud_project(project, folder) as world:
        del project.config["services"]["worker"], project.config["environments"]["local"]["worker"]
        project.commit()
        yield world


def test_what_was_never_published_needs_no_unpublishing(first_release: MultiCloudProject) -> None:
    first_release.render.build_error = "no module named app"
    code, told = first_release.deploy(code=None)
    assert "no module named app" in told
    assert code == 1, told
    assert first_release.project.latest_deployment()["state"] == "turned-back"
    assert first_release.netlify.sites["site-shop"].live_deploy_id is None
    first_release.clear_faults()
    commit = first_release.project.commit()
    first_release.deploy()
    assert first_release.served_commits["frontend"] == first_release.served_commits["backend"] == commit


def test_what_cannot_be_unpublished_stays_once_a_person_accepts_it(first_release: MultiCloudProject) -> None:
    project = first_release.project
    project.config["services"]["backend"]["health"] = {"path": "/health", "hold": "0s", "start": "3s"}
    project.config["environments"]["local"]["settle"] = "20s"
    commit = project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = project.start("deploy", "--yes", variables=first_release.variables)
    eventually(lambda: project.latest_deployment()["chapter"] == "watch", 15)
    for _ in range(8):
        get_text(f"{first_release.urls['render']}/r/api/")
    assert wait_for_exit(deploying) == 4
    assert "netlify cannot unpublish the new one: it stays live" in deploying.output
    done = project.run(
        "resume", "--accept-as-it-is", "--reason", "nobody knows the address", variables=first_release.variables
    )
    assert "frontend" in done.stdout
    assert project.latest_deployment()["state"] == "turned-back"
    assert project.status()["services"]["frontend"]["commit"] == commit
    project.config["environments"]["local"]["settle"] = "300ms"
    commit = project.commit("Mended", app_py=APP_SOURCE)
    first_release.deploy()
    assert first_release.served_commits["frontend"] == first_release.served_commits["backend"] == commit


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
def test_a_turn_back_that_is_tried_again_can_be_killed_at_every_write(project: SampleProject) -> None:
    first = stuck(project)
    project.run("down", "--yes")
    codes = list(fork_server.run_crash_relay(project.folder, "history", moment="after"))
    assert len(codes) > 5
    assert project.latest_deployment()["state"] == "turned-back"
    assert project.served_commits() == {"frontend": first, "backend": first}


def test_a_lock_can_end_by_itself(project: SampleProject) -> None:
    assert project.run("locks").stdout == "no environment is locked\n"
    said = project.run("lock", "--for", "4s", "--reason", "moving the database").stdout
    assert "local is locked until 20" in said
    assert "moving the database" in project.run("locks").stdout
    assert json.loads(project.run("locks", "--json").stdout)["local"]["reason"] == "moving the database"
    assert " until 20" in project.deploy(code=3).stderr
    eventually(lambda: project.run("locks").stdout == "no environment is locked\n")
    project.deploy()
    assert project.status()["lock"] is None
    assert "expected a duration such as" in project.run("lock", "--for", "soon", "--reason", "x", code=2).stderr
