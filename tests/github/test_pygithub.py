"""PyGithub, a client that others made, sees at the emulator what abreast told GitHub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from github.Repository import Repository

import github
from github_stage import ADMIN, TOKEN, GitHubStage, github_stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path) as made:
        yield made


def repository(stage: GitHubStage, token: str = TOKEN) -> Repository:
    auth = github.Auth.Token(token)
    return github.Github(auth=auth, base_url=stage.url, retry=None, lazy=True).get_repo("octo/shop")


def test_it_deploys_and_reports(stage: GitHubStage) -> None:
    repo = repository(stage)
    made = repo.create_deployment(
        "main", environment="production/api", auto_merge=False, required_contexts=[], production_environment=True
    )
    made.create_status("in_progress", description="v7: build")
    made.create_status("success", environment_url="https://api.example", auto_inactive=True)
    assert [status.state for status in made.get_statuses()] == ["success", "in_progress"]
    (listed,) = repo.get_deployments(environment="production/api")
    assert (listed.id, listed.sha) == (made.id, stage.commit)
    with pytest.raises(github.GithubException) as refused:
        repo.create_deployment("no-such-ref", required_contexts=[], auto_merge=False)
    assert refused.value.status == 422


def test_it_checks_and_comments(stage: GitHubStage) -> None:
    repo = repository(stage)
    stage.emulator.add_pull_request(stage.repository, 7, stage.commit)
    run = repo.create_check_run("abreast / production", stage.commit, status="in_progress", external_id="01M7")
    run.edit(status="completed", conclusion="success", output={"title": "v7 is live", "summary": "all of it"})
    (found,) = repo.get_commit(stage.commit).get_check_runs(check_name="abreast / production")
    assert (found.conclusion, found.output.title) == ("success", "v7 is live")
    assert [pull.number for pull in repo.get_commit(stage.commit).get_pulls()] == [7]
    assert [pull.number for pull in repo.get_pulls(state="open")] == [7]
    assert repo.get_pulls(state="closed").totalCount == 0


def test_it_reads_and_changes_settings(stage: GitHubStage) -> None:
    repo = repository(stage, ADMIN)
    environment = repo.create_environment("production", wait_timer=5)
    assert (environment.name, [each.name for each in repo.get_environments()]) == ("production", ["production"])
    with pytest.raises(github.GithubException) as denied:
        repository(stage, "ghs_unknown").create_environment("staging")
    assert denied.value.status == 401
