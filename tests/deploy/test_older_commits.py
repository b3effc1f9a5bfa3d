"""An older commit that comes last does not go live, and neither does one that was rolled back."""

import json

import pytest

from sample_project import SampleProject


@pytest.fixture
def commits(project: SampleProject) -> tuple[str, str]:
    """Two commits, both deployed. The second one is live."""
    project.config["services"].pop("frontend")
    project.config["environments"]["local"].pop("frontend")
    first = project.commit()
    project.deploy()
    second = project.commit("Newer")
    project.deploy()
    return first, second


def served(project: SampleProject) -> str:
    return str(project.status()["services"]["backend"]["commit"])


def test_an_older_commit_is_superseded_unless_a_person_says_otherwise(
    project: SampleProject, commits: tuple[str, str]
) -> None:
    first, second = commits
    project.git("checkout", "-q", first)
    why = f"{first[:7]} is older than {second[:7]} (v2), which is live"
    assert f"SUPERSEDED, nothing is deployed: {why}" in project.run("plan").stdout
    assert json.loads(project.run("plan", "--json").stdout)["superseded"] == why
    done = project.deploy()
    assert f"superseded, so nothing was deployed: {why}" in done.stdout
    assert served(project) == second
    assert project.latest_deployment()["state"] == "superseded"
    assert "interrupted" not in project.run("status").stdout
    assert project.deploy("--json").stdout.startswith('{"state": "superseded"')
    assert "--reason" in project.deploy("--allow-older", code=2).stderr
    project.deploy("--allow-older", "--reason", "the newer one is worse")
    assert served(project) == first
    assert project.latest_deployment()["reason"] == "the newer one is worse"


def test_a_commit_that_was_rolled_back_waits_for_a_newer_one(project: SampleProject, commits: tuple[str, str]) -> None:
    first, second = commits
    project.run("rollback", "--env", "local", "--reason", "critical bug", "--yes")
    assert served(project) == first
    done = project.deploy("--force")
    assert f"{second[:7]} is the commit of v2, which was rolled back to v1" in done.stdout
    assert "critical bug" in done.stdout
    assert served(project) == first
    third = project.commit("Mend it")
    project.deploy()
    assert served(project) == third


@pytest.mark.exhaustive
def test_a_clone_without_the_live_commit_fetches_it_or_refuses(
    project: SampleProject, commits: tuple[str, str]
) -> None:
    first, second = commits
    remote = project.folder.parent / "remote.git"
    project.git("clone", "-q", "--bare", str(project.folder), str(remote))
    project.git("checkout", "-q", first)
    project.git("branch", "-qD", "main")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    done = project.deploy("--force", code=3)
    assert f"it is unknown whether {first[:7]} is newer than {second[:7]} (v2)" in done.stderr
    assert f"git fetch origin {second}" in done.stderr
    project.git("remote", "add", "origin", f"file://{remote}")
    assert "is older than" in project.deploy("--force").stdout
    assert served(project) == second


@pytest.mark.exhaustive
def test_a_shallow_clone_gets_the_history_that_it_needs(project: SampleProject, commits: tuple[str, str]) -> None:
    first, second = commits
    remote = project.folder.parent / "remote.git"
    project.git("clone", "-q", "--bare", str(project.folder), str(remote))
    project.git("checkout", "-q", first)
    project.git("remote", "add", "origin", f"file://{remote}")
    (project.folder / ".git" / "shallow").write_text(f"{first}\n{second}\n")
    assert "is older than" in project.deploy("--force").stdout
    assert served(project) == second
