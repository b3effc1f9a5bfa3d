"""No deployment begins in a freeze; the way back is open, and a person may go on with a reason."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from limits import scaled
from sample_project import SampleProject, eventually, require_programs


def around_now() -> dict[str, str]:
    """Return a freeze that began an hour ago, and ends in an hour."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    return {"starts": f"{now - hour:%Y-%m-%d %H:%M}", "ends": f"{now + hour:%Y-%m-%d %H:%M}", "reason": "a sale"}


@pytest.fixture
def frozen(project: SampleProject) -> SampleProject:
    """A release is live, then the freeze begins."""
    project.deploy()
    project.config["environments"]["local"]["freeze"] = [around_now()]
    project.commit("Frozen")
    return project


def test_nothing_begins_but_by_a_person_with_a_reason_and_the_way_back_is_open(frozen: SampleProject) -> None:
    live, commit = frozen.served_commits(), frozen.git("rev-parse", "HEAD").strip()
    expected = "local is frozen until "
    assert expected in frozen.run("plan").stdout
    refused = frozen.deploy(code=3).stderr
    assert expected in refused
    assert "UTC: a sale" in refused
    assert not frozen.built_services(commit)
    assert "the gate freeze cannot be skipped" in frozen.deploy("--skip-gate", "freeze", "--reason", "x", code=3).stderr
    assert frozen.served_commits() == live

    frozen.config["environments"]["local"]["may_skip"] = ["freeze"]
    fix = frozen.commit("A fix")
    told = frozen.deploy("--skip-gate", "freeze", "--reason", "the sale is broken").stdout
    assert "a freeze is SKIPPED: " in told
    assert set(frozen.served_commits().values()) == {fix}
    trail = [json.loads(line) for line in frozen.run("audit", "export").stdout.splitlines()]
    (skip,) = [act for act in trail if act["what"] == "skip-gate"]
    assert skip["detail"] == "freeze"
    assert "the sale is broken" in skip["why"]
    assert "nothing to do" in frozen.deploy().stdout, "what changes nothing is not refused"

    frozen.run("rollback", "--yes", "--reason", "broken")
    assert frozen.served_commits() == live


@pytest.mark.parametrize("running", ["finish", "turn-back"])
def test_a_deployment_that_began_before_is_finished_or_turned_back(project: SampleProject, running: str) -> None:
    require_programs("faketime")
    project.deploy()
    before, builds, go = project.served_commits(), *(project.folder.parent / name for name in ("building", "go"))
    os.mkfifo(go)
    starts = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)
    ends = starts + timedelta(hours=1)
    window = {"starts": f"{starts:%Y-%m-%d %H:%M}", "ends": f"{ends:%Y-%m-%d %H:%M}", "running": running}
    project.config["environments"]["local"]["freeze"] = [window]
    project.config["services"]["backend"]["build"] = f"touch {builds}; read gone < {go}"
    commit = project.commit("Just before")
    ahead = starts - timedelta(seconds=min(60, scaled(8))) - datetime.now(UTC)
    command = ["faketime", "-f", f"+{ahead.total_seconds():.0f}s", *project.command_line("deploy", "--yes")]
    with subprocess.Popen(command, cwd=project.folder, stdout=subprocess.PIPE, text=True, env=os.environ) as deploying:
        eventually(builds.exists)
        assert project.latest_deployment()["commit"] == commit
        eventually(lambda: datetime.now(UTC) + ahead > starts + timedelta(seconds=1), 60)
        go.write_text("\n")
        told = deploying.communicate()[0]
    if running == "finish":
        assert (deploying.returncode, project.served_commits()) == (0, dict.fromkeys(before, commit))
    else:
        assert (deploying.returncode, project.served_commits()) == (1, before)
        assert project.latest_deployment()["state"] == "cancelled"
        assert f"local is frozen until {ends:%a %Y-%m-%d %H:%M} UTC" in told


def test_an_approval_in_a_freeze_waits_for_its_end(frozen: SampleProject) -> None:
    require_programs("faketime")
    ada = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "octo/shop", "GITHUB_TOKEN": "",
           "GITHUB_ACTOR": "ada", "ABREAST_STATE": ".abreast"}  # fmt: skip
    frozen.config["environments"]["local"]["approval"] = {"by": ["ada"]}
    frozen.commit("Ask")
    live = frozen.served_commits()
    before = ["faketime", "-f", "-3h", *frozen.command_line("deploy", "--yes")]
    subprocess.run(before, cwd=frozen.folder, check=True, capture_output=True, env=os.environ)
    id_ = frozen.latest_deployment()["id"]
    frozen.run("approve", id_, variables=ada)
    told = frozen.run("resume", id_).stdout
    assert "approved by ada; local is frozen until " in told
    assert frozen.served_commits() == live
    after = ["faketime", "-f", "+3h", *frozen.command_line("resume", id_)]
    subprocess.run(after, cwd=frozen.folder, check=True, capture_output=True, env=os.environ)
    assert frozen.latest_deployment()["state"] == "succeeded"
    assert frozen.served_commits() != live
