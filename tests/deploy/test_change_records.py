"""The record of a change has the risk as it was known, who approved and deployed what, and the way back."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from sample_project import UNHEALTHY_AFTER_REQUESTS, SampleProject, eventually, get_json, wait_for_exit

RUN = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_SERVER_URL": "https://github.example",
       "GITHUB_REPOSITORY": "octo/shop", "ABREAST_STATE": ".abreast", "GITHUB_TOKEN": ""}  # fmt: skip
EVENING, NIGHT = "2026-11-25T21:59:00.000Z", "2026-11-25T22:01:00.000Z"


def as_person(login: str) -> dict[str, str]:
    return {**RUN, "GITHUB_ACTOR": login}


def run_at(project: SampleProject, moment: str, login: str, *arguments: str) -> None:
    """Run a command as a person, who takes this for the time."""
    program = (
        "import sys; from abreast.wiring import assembly; from abreast.__main__ import main\n"
        f"assembly.utc_now = lambda: {moment!r}\n"
        f"sys.argv = ['abreast', *{arguments!r}]; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=project.folder, env={**os.environ, **as_person(login)},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def record(project: SampleProject, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(project.run("audit", "change", *arguments, "--json").stdout))


def test_an_approved_change_has_its_risk_as_it_was_known(project: SampleProject) -> None:
    project.deploy()
    project.config["environments"]["local"]["approval"] = {"by": ["ada"], "required": 1}
    project.commit("Ask ada")
    run_at(project, EVENING, "eve", "deploy", "--yes")
    waiting = project.latest_deployment()["id"]
    run_at(project, NIGHT, "bob", "deploy", "--yes")
    assert project.latest_deployment()["id"] == waiting, "that the clock moved makes it no other deployment"
    project.run("approve", "--reason", "read it", variables=as_person("ada"))
    project.run("resume")
    found = record(project, "--env", "local")
    assert (found["id"], found["outcome"], found["kind"]) == (waiting, "succeeded", "deploy")
    assert not any("at night" in reason["text"] for reason in found["risk"]["reasons"])
    assert found["risk"]["points"] == sum(reason["points"] for reason in found["risk"]["reasons"])
    assert found["approval_rule"] == "1 of ada"
    assert [(act["who"], act["why"]) for act in found["approvals"]] == [("ada", "read it")]
    assert (found["begun"]["who"], found["begun"]["evidence"]) == ("eve", "environment")
    assert {part["name"]: part["before"] for part in found["services"]} == {"frontend": "v1", "backend": "v1"}
    assert all(part["artifact"].startswith("sha256:") for part in found["services"])
    assert [(commit["subject"], commit["author"]) for commit in found["commits"]] == [("Ask ada", "t")]
    assert {check["what"] for check in found["validation"]} >= {"backend: health of the candidate", "health with users"}
    assert {check["outcome"] for check in found["validation"]} == {"passed"}
    assert found["way_back"][0] == "abreast rollback --env local --to v1 --reason …"
    shown = project.run("audit", "change", waiting[-8:]).stdout
    for text in (
        "# Change record: deploy of v2 in local",
        "` ada ` (1 of ada)",
        "[environment](<https://github.example/",
    ):
        assert text in shown
    report = project.run("audit", "export", "--report").stdout
    assert "| risk |" in report
    document = json.loads(project.run("audit", "export", "--report", "--json").stdout)
    assert [change["risk"] for change in document["changes"]] == ["low", "low"]


def test_what_broke_before_is_a_risk_and_what_was_turned_back_needs_no_way_back(project: SampleProject) -> None:
    project.commit("Good")
    project.deploy()
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = project.start("deploy", "--yes")
    eventually(lambda: [get_json(project.backend_port), deploying.poll()][1] is not None, 90)
    assert wait_for_exit(deploying) == 1
    risk = json.loads(project.run("plan", "--json").stdout)["risk"]
    told = "\n".join(reason["text"] for reason in risk["reasons"])
    assert "backend: changes of abreast.yml, app.py, change.txt were turned back or rolled back before" in told
    assert "backend: 1 of its last 2 deployments failed" in told
    assert f"risk: {risk['level']} ({risk['points']} points)" in project.run("plan").stdout
    found = record(project, "v2")
    assert found["way_back"] == ["none is needed: turned-back"]
    assert found["incident"] == {"severity": "SEV3", "status": "resolved"}
    assert [check["outcome"] for check in found["validation"]][-1] == "failed"
    assert "nothing was changed in production yet" in project.run("audit", "change", code=2).stderr


@pytest.mark.exhaustive
def test_a_drill_is_no_change(project: SampleProject) -> None:
    project.config["services"]["backend"]["database"] = "sqlite:///shop.db"
    project.commit()
    project.deploy()
    project.run("db", "drill", code=None)
    assert (
        "is no change: it is a drill"
        in project.run("audit", "change", project.latest_deployment()["id"], code=2).stderr
    )
