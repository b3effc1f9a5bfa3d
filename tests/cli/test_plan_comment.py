"""``plan --comment`` keeps one comment with the plan on the pull request of a workflow's run."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import fork_server
from github_stage import TOKEN, GitHubStage, commit, git, github_stage

CONFIG = """
project: shop
services:
  web: {build: {run: "true", output: .}}
environments:
  local: {}
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path) as made:
        (tmp_path / "work" / "abreast.yml").write_text(CONFIG)
        git(tmp_path / "work", "add", "-A")
        made.repository.path = tmp_path / "work"
        made.emulator.add_pull_request(made.repository, 7, commit(tmp_path / "work", "Describe"))
        yield made


def plan(stage: GitHubStage, code: int = 0, **variables: str) -> "subprocess.CompletedProcess[str]":
    run = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "42", "ABREAST_STATE": ".abreast"}
    given = {**run, "GITHUB_API_URL": stage.url, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/shop", **variables}
    done = fork_server.run_command(stage.folder / "work", "plan", "--comment", variables=given)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def event(stage: GitHubStage, number: int, origin: str) -> str:
    """Write the event of a pull request, and return its file."""
    file = stage.folder / "event.json"
    head, base = ({"repo": {"full_name": name}} for name in (origin, "octo/shop"))
    file.write_text(json.dumps({"pull_request": {"number": number, "head": head, "base": base}}))
    return str(file)


def test_one_comment_is_kept(stage: GitHubStage) -> None:
    assert "the plan is a comment on pull request 7" in plan(stage).stderr
    plan(stage)
    (comment,) = stage.repository.comments
    assert comment.body.startswith("<!-- abreast:plan:local -->\n")
    assert "web" in comment.body
    assert "**Risk: " in comment.body
    assert "` web: first deployment here, nothing to go back to `" in comment.body
    assert [len(stage.requests(method, "/comments")) for method in ("POST", "PATCH")] == [1, 1]


def test_the_pull_request_is_that_of_the_run(stage: GitHubStage) -> None:
    stage.emulator.add_pull_request(stage.repository, 9, stage.commit)
    plan(stage, GITHUB_EVENT_PATH=event(stage, 9, "octo/shop"))
    assert [comment.number for comment in stage.repository.comments] == [9]


def test_the_token_of_a_fork_may_not_and_that_is_no_error(stage: GitHubStage) -> None:
    stage.emulator.add_token("ghs_fork", contents="read", pull_requests="read")
    done = plan(stage, GITHUB_TOKEN="ghs_fork", GITHUB_EVENT_PATH=event(stage, 7, "stranger/shop"))
    assert "no comment: the token of a fork's pull request may only read" in done.stderr
    assert "web" in done.stdout
    done = plan(stage, 1, GITHUB_TOKEN="ghs_fork", GITHUB_EVENT_PATH=event(stage, 7, "octo/shop"))
    assert "issues: write" in done.stderr
    assert stage.repository.comments == []


def test_without_a_pull_request_that_is_said(stage: GitHubStage) -> None:
    stage.repository.pull_requests.clear()
    assert "has no pull request" in plan(stage).stderr
