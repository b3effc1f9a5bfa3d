"""The commands of docs/audit.md are typed, with a key, a checkpoint that is kept elsewhere, runs at GitHub and jobs at GitLab."""

import re
from pathlib import Path

import pytest

from abreast.testing.github import WorkflowRun
from abreast.testing.gitlab import TOKEN as TOKEN_OF_GITLAB
from abreast.testing.gitlab import GitLabEmulator, GitLabJob
from abreast.testing.platforms.threaded_server import ThreadedServer
from github_stage import TOKEN, github_stage
from page_examples import Example
from sample_project import SampleProject

KEY = {"ABREAST_AUDIT_KEY": "YWJyZWFzdCBzaWducyB0aGlzIHdpdGggMzIgYnl0ZXM="}


def masked(line: str) -> str:
    """Return a line without what is another one on each machine: folders, numbers, times and keys."""
    line = re.sub(r"\S*/\.abreast:", "RECORD:", line)
    line = re.sub(r"abreast/shop\+\S+", "KEY", line)
    return re.sub(r"\d[\d,]*(-\d\d-\d\dT[\d:.]+\+00:00)?", "N", line)


def arguments(command: str) -> list[str]:
    """Return what is given to abreast by a command line, without where its output goes."""
    return command.partition(" > ")[0].split()[1:]


@pytest.mark.executes("docs/audit.md", 1, 2, 3)
@pytest.mark.exhaustive
def test_an_auditor_gets_what_can_be_checked(project: SampleProject, examples: list[Example]) -> None:
    first, keep, check = examples
    project.config["environments"]["production"] = {}
    project.commit()
    project.deploy("--env", "local", variables=KEY)
    ((verify, shown), (csv, _), (report, _)) = first.steps
    told = project.run(*arguments(verify), variables=KEY).stdout
    assert [masked(line) for line in told.splitlines()] == [masked(line) for line in shown]
    assert project.run(*arguments(csv)).stdout.startswith("seq,at,what,outcome,")
    assert "# " in project.run(*arguments(report)).stdout
    (export,) = keep.commands
    told = project.run(*arguments(export), variables=KEY).stderr
    assert [masked(line) for line in told.splitlines()] == [masked(line) for line in keep.output]
    (verify,) = check.commands
    told = project.run(*arguments(verify), variables=KEY).stdout
    assert [masked(line) for line in told.splitlines()] == [masked(line) for line in check.output]
    project.run("down", "--env", "local", "--yes")


@pytest.mark.executes("docs/audit.md", 4)
def test_github_confirms_runs(project: SampleProject, examples: list[Example], tmp_path: Path) -> None:
    export, verify = examples[0].commands
    run = {
        "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "octo/shop",
        "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "ada", "GITHUB_ACTOR_ID": "7",
        "ABREAST_STATE": ".abreast",
    }  # fmt: skip
    project.run("lock", "--env", "local", "--reason", "a sale", variables=run)
    with github_stage(tmp_path / "github") as stage:
        stage.repository.runs.append(WorkflowRun(77, 1, ("ada", 7), "c", "2026-11-21T02:00:00Z"))
        variables = dict(setting.split("=") for setting in export.split()[1:]) | {"GITHUB_API_URL": stage.url}
        variables["GITHUB_TOKEN"] = TOKEN
        told = project.run(*arguments(verify), variables=variables).stdout
    assert masked(told.splitlines()[-1]).replace("N run", "N runs") == masked(examples[0].output[-1])


@pytest.mark.executes("docs/audit.md", 5)
def test_gitlab_confirms_jobs(project: SampleProject, examples: list[Example]) -> None:
    export, verify = examples[0].commands
    job = {
        "GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.com/acme/web/shop/-/jobs/77", "GITLAB_USER_LOGIN": "ada",
        "GITLAB_USER_ID": "7", "ABREAST_STATE": ".abreast",
    }  # fmt: skip
    project.run("lock", "--env", "local", "--reason", "a sale", variables=job)
    emulator = GitLabEmulator(jobs=[GitLabJob(77, ("ada", 7), "c", "2026-11-21T02:00:00Z")])
    with ThreadedServer(emulator.app) as server:
        variables = dict(setting.split("=") for setting in export.partition("#")[0].split()[1:])
        variables |= {"GITLAB_TOKEN": TOKEN_OF_GITLAB, "CI_API_V4_URL": f"{server.url}/api/v4"}
        told = project.run(*arguments(verify), variables=variables).stdout
    assert masked(told.splitlines()[-1]).replace("N job", "N jobs") == masked(examples[0].output[-1])
