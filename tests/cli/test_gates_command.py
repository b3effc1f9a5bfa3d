"""`abreast gates`: the gates of what changed, without a deployment and without the services' variables."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sample_project import SampleProject, eventually, wait_for_exit


@pytest.fixture
def project(tmp_path: Path) -> SampleProject:
    found = SampleProject(tmp_path / "shop")
    found.config["services"]["backend"] |= {
        "watch": ["app.py", "broken", "ugly"],
        "test": "test ! -e broken",
        "env": {"API_TOKEN": "${API_TOKEN_OF_NOBODY}"},
        "database": "${DATABASE_URL_OF_NOBODY}",
    }
    found.config["gates"] = {"lint": "sleep 2; test ! -e ugly"}
    found.commit()
    return found


def results(project: SampleProject, *arguments: str, code: int = 0) -> dict[str, Any]:
    return dict(json.loads(project.run("gates", "--json", *arguments, code=code).stdout))


def test_gates_pass_or_refuse_and_nothing_is_recorded(project: SampleProject) -> None:
    passed = results(project)
    assert passed["passed"] is True
    assert {(gate["gate"], gate["verdict"]) for gate in passed["gates"]} == {("test", "passed"), ("lint", "passed")}
    commit = project.commit("Break it", broken="", ugly="")
    refused = results(project, code=3)
    assert (refused["passed"], refused["commit"]) == (False, commit)
    assert {(gate["gate"], gate["verdict"]) for gate in refused["gates"]} == {("test", "failed"), ("lint", "failed")}
    assert "is refused by a gate" in project.run("gates", code=3).stdout
    assert "nothing has been deployed yet" in project.run("history").stdout


@pytest.mark.exhaustive
def test_only_what_changed_since_the_live_release_is_tested(project: SampleProject) -> None:
    project.config["services"]["backend"].pop("database")
    project.config["services"]["frontend"]["watch"] = ["page.html"]
    first = project.commit("Without a database")
    try:
        project.deploy(variables={"API_TOKEN_OF_NOBODY": "not-a-secret-value"})
        project.commit("Notes", notes_md="nothing of a service")
        assert results(project)["gates"] == []
        project.commit("Code", app_py=project.app_source("    return 200, {1: 2}\n"))
        assert {gate["gate"] for gate in results(project, "--service", "backend")["gates"]} == {"test", "lint"}
        assert results(project, "--since", "HEAD")["gates"] == []
        assert results(project, "--since", first)["gates"] != []
    finally:
        project.down()


@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_ends_what_gates_run(project: SampleProject, tmp_path: Path, times: int) -> None:
    marker = tmp_path / "hangs"
    project.config["gates"] = {"lint": f"echo $$ > {marker}; exec sleep 600"}
    project.commit()
    begun = project.start("gates")
    eventually(lambda: marker.read_text().strip())
    for _ in range(times):
        begun.send_signal(signal.SIGTERM)
        time.sleep(0.02)  # signals of one number that are pending at once are one
    assert wait_for_exit(begun) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)
