"""The first quarter of an hour: what a newcomer types, and what abreast says."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sample_project import SampleProject, eventually, require_programs, wait_for_exit


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleProject]:
    """A project after a first deployment that succeeded, and a second whose build failed with a long usage text."""
    made = SampleProject(tmp_path_factory.mktemp("first") / "project")
    made.deploy()
    made.config["services"]["backend"]["build"] = "echo compiling; git commit --nope; exit 3"
    made.commit()
    made.deploy(code=1)
    yield made
    made.down()


def abreast(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "abreast", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
    )  # fmt: skip


@pytest.mark.exhaustive
def test_abreast_alone_says_what_comes_next(tmp_path: Path, project: SampleProject) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    told = abreast(folder).stdout
    assert "is not in a git repository" in told
    assert "next: git init" in told
    (folder / ".git").mkdir()
    assert abreast(folder).stdout.splitlines()[0].endswith("next: abreast init")
    (folder / "abreast.yaml").write_text("")
    assert "next: git mv abreast.yaml abreast.yml" in abreast(folder).stdout
    assert "nothing has been deployed yet. next: abreast deploy" in project.run().stdout


@pytest.mark.exhaustive
def test_abreast_alone_says_what_is_live_and_what_was_interrupted(project: SampleProject) -> None:
    project.deploy()
    told = project.run().stdout
    assert "shop · local · v1" in told
    assert f"http://127.0.0.1:{project.backend_port}" in told
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit()
    deploying = project.start("deploy", "--yes")
    eventually(lambda: project.latest_deployment()["chapter"] == "watch")
    deploying.send_signal(signal.SIGKILL)
    wait_for_exit(deploying)
    assert f"next: abreast resume {project.latest_deployment()['id']}" in project.run().stdout


@pytest.mark.exhaustive
def test_other_spelling_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "abreast.yaml").write_text("project: shop\n")
    for command in ("plan", "status"):
        told = abreast(tmp_path, command)
        assert told.returncode == 2
        assert "abreast.yaml" in told.stderr
        assert "git mv abreast.yaml abreast.yml" in told.stderr


@pytest.mark.exhaustive
def test_a_deployment_ends_with_the_urls(project: SampleProject) -> None:
    told = project.deploy().stdout.splitlines()
    assert told[-3:] == [
        "v1 is live in local",
        f"  backend   http://127.0.0.1:{project.backend_port}",
        f"  frontend  http://127.0.0.1:{project.frontend_port}",
    ]
    project.commit()
    document = json.loads(project.deploy("--json").stdout)
    assert (document["state"], document["release"]) == ("succeeded", "v2")
    assert document["urls"]["backend"] == f"http://127.0.0.1:{project.backend_port}"


@pytest.mark.exhaustive
def test_a_failed_build_shows_its_first_errors_and_where_the_rest_is(deployed: SampleProject) -> None:
    latest = deployed.latest_deployment()
    (failure,) = (event for event in latest["events"] if event["kind"] == "failed")
    assert failure["data"]["log"] == ["error: unknown option `nope'"]
    told = deployed.deploy(code=1).stdout
    assert "│ error: unknown option `nope'" in told
    assert "--no-post-rewrite" not in told, "the usage text of git"
    id_ = deployed.latest_deployment()["id"]
    assert f"next: abreast logs {id_}\nor:   fix it, commit, then: abreast deploy --env local" in told
    whole = deployed.run("logs", id_).stdout
    assert "backend build  | compiling" in whole
    assert "backend build  | usage: git commit" in whole


def test_logs_and_status_after_a_failure_say_why(deployed: SampleProject) -> None:
    id_ = deployed.latest_deployment()["id"]
    for told in (deployed.run("logs").stdout, deployed.run("logs", "--service", "backend").stdout):
        assert "build     FAILED `echo compiling; git commit --nope; exit 3`: exit code 3" in told
        assert "│ error: unknown option `nope'" in told
        assert told.endswith(f"next: abreast logs {id_}\n")
    assert "FAILED" not in deployed.run("logs", "--service", "frontend").stdout
    told = deployed.run("status").stdout
    assert "why: backend: build: `echo compiling" in told
    assert f"next: abreast logs {id_}" in told


def test_releases_work_where_deployments_do(deployed: SampleProject) -> None:
    first = json.loads(deployed.run("history", "--json").stdout)[-1]
    assert json.loads(deployed.run("show", "v1", "--json").stdout)["id"] == first["id"]
    assert "deploy " + first["id"] in deployed.run("show", "v1").stdout
    assert deployed.run("logs", "v1").stdout == deployed.run("logs", first["id"]).stdout


def test_history_has_a_heading(deployed: SampleProject) -> None:
    heading, newest = deployed.run("history").stdout.splitlines()[:2]
    for name, value in (("environment", "local"), ("kind", "deploy"), ("release", "v"), ("state", "turned-back")):
        assert newest[heading.index(name) :].startswith(value)


@pytest.mark.exhaustive
def test_verbose_shows_the_output_while_the_build_runs(
    project: SampleProject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    go = tmp_path_factory.mktemp("build") / "go"
    project.config["services"]["backend"]["build"] = (
        f"echo half done; until [ -e {go} ]; do sleep 0.05; done; echo whole"
    )
    project.commit()
    deploying = project.start("deploy", "--yes", "--verbose")
    eventually(lambda: "backend      build     │ half done" in deploying.output)
    assert "whole" not in deploying.output.rpartition("until")[2]
    go.touch()
    assert wait_for_exit(deploying) == 0
    assert "build     │ whole" in deploying.output
    project.commit()
    assert "│" not in project.deploy().stdout


# ── what deploy refuses ────────────────────────────────────────────────────────────────────────


def test_the_plan_says_what_deploy_refuses(project: SampleProject) -> None:
    project.config["services"]["frontend"]["build"]["run"] = "leftpad --now"
    project.commit()
    (project.folder / "new.txt").write_text("")
    project.run("lock", "--reason", "a sale")
    with socket.create_server(("127.0.0.1", project.backend_port)):
        told = project.run("plan").stdout
        document = json.loads(project.run("plan", "--json").stdout)
        refused = project.deploy("--allow-dirty", code=3)
    for text in ("is locked by", "a sale", f"port {project.backend_port} is taken by", "leftpad is not installed"):
        assert text in told.partition("deploy would refuse this:")[2]
        assert text in refused.stderr
    assert "uncommitted changes: new.txt" in told
    assert len(document["refusals"]) == 4
    assert {"what", "need", "next"} == set(document["refusals"][0])
    assert not project.build_log.exists(), "nothing was built"
    assert json.loads(project.run("history", "--json").stdout) == []
    project.run("unlock")


def test_a_node_that_is_too_old_is_told_before_anything_is_built(project: SampleProject) -> None:
    project.config["services"]["frontend"]["node"] = "99.1"
    project.commit()
    refused = project.deploy(code=2).stderr
    assert "frontend needs Node 99.1: the node on the PATH is " in refused
    assert "nvm install 99.1" in refused
    assert project.built_services(project.git("rev-parse", "HEAD").strip()) == []
    assert "frontend needs Node 99.1" in project.run("doctor", code=1).stdout
    project.config["services"]["frontend"]["node"] = "4"
    project.commit()
    assert "needs Node" not in project.run("plan").stdout


@pytest.mark.exhaustive
def test_a_plan_that_can_be_deployed_says_no_more(project: SampleProject) -> None:
    assert "refuse" not in project.run("plan").stdout
    project.deploy()
    assert json.loads(project.run("plan", "--json").stdout)["refusals"] == []


def test_a_port_is_taken_also_beside_what_runs(project: SampleProject) -> None:
    project.deploy()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        project.config["environments"]["local"]["backend"]["local"]["port"] = port
        project.commit()
        assert f"port {port} is taken by" in project.deploy(code=1).stderr
        assert project.built_services(project.git("rev-parse", "HEAD").strip()) == []


def test_a_program_that_nothing_installs_is_refused_with_where_it_comes_from(project: SampleProject) -> None:
    project.config["services"]["frontend"]["build"] = {"run": "zola build", "output": "public"}
    project.commit()
    told = project.run("deploy", code=2).stderr
    assert (
        "frontend: `zola build`: zola is not installed\n  needed: zola on the PATH\n  next:   https://www.getzola.org"
        in told
    )


def test_a_program_that_a_build_may_install_is_not_refused(project: SampleProject) -> None:
    project.config["services"]["backend"]["run"] = "leftpad --serve"
    project.commit()
    assert "leftpad" not in project.run("plan").stdout.partition("refuse")[2]
    del project.config["services"]["backend"]["build"]
    project.commit()
    assert "backend: `leftpad --serve`: leftpad is not installed" in project.run("plan").stdout
    project.config["services"]["backend"]["build"] = {"install": "true", "run": "leftpad --build"}
    project.commit()
    assert "leftpad" not in project.run("plan").stdout.partition("refuse")[2]


# ── help and completion ────────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_help_of_a_command(tmp_path: Path) -> None:
    for words in (("deploy",), ("db", "backup"), ("db",), ()):
        assert abreast(tmp_path, "help", *words).stdout == abreast(tmp_path, *words, "--help").stdout


@pytest.mark.parametrize(
    ("typed", "found"),
    [("dep", "deploy"), ("deploy --env ", "local"), ("logs --service b", "backend"), ("db ba", "backup")],
)
def test_bash_completes_commands_and_names(project: SampleProject, tmp_path: Path, typed: str, found: str) -> None:
    require_programs("bash")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "abreast"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m abreast "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(abreast(tmp_path, "completion", "bash").stdout)
    words = ["abreast", *typed.split(" ")]
    quoted = " ".join(f"'{word}'" for word in words)
    line = f'source {tmp_path}/script; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _abreast_completion abreast; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", line], cwd=project.folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert found in done.stdout.split(), done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script(tmp_path: Path, shell: str) -> None:
    script = abreast(tmp_path, "completion", shell).stdout
    assert "_ABREAST_COMPLETE" in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


# ── before the first deployment ────────────────────────────────────────────────────────────────


def test_status_before_the_first_deployment(project: SampleProject) -> None:
    assert project.run("status").stdout == "nothing has been deployed yet. next: abreast deploy\n"
    told = project.run("status", "--env", "local").stdout
    assert told == "nothing has been deployed to local yet. next: abreast deploy --env local\n"
    assert json.loads(project.run("status", "--json").stdout) == {
        "project": None,
        "environments": {},
        "proposals": [],
    }
    assert "one of: local" in project.run("status", "--env", "moon", code=2).stderr
    assert "nothing has been deployed yet. next: abreast deploy" in project.run("logs").stderr
