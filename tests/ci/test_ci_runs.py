"""The run of a CI system is recognized by what each system documents, and is recorded with a deployment."""

import json
import subprocess
from copy import copy
from pathlib import Path

import pytest

from abreast.ci.detection import detect_run
from abreast.ci.interface import CiRun
from npm import install_packages
from sample_project import SampleProject

HEAD, MERGE = "a" * 40, "b" * 40
GITHUB = {
    "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.example.com",
    "GITHUB_API_URL": "https://git.example.com/api/v3", "GITHUB_REPOSITORY": "shop/web", "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2", "GITHUB_ACTOR": "ann", "GITHUB_TRIGGERING_ACTOR": "bob",
    "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": MERGE,
}  # fmt: skip
GITLAB = {
    "CI": "true", "GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.example.com/shop/web/-/jobs/5",
    "GITLAB_USER_LOGIN": "ann", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_SHA": HEAD,
    "CI_MERGE_REQUEST_IID": "9", "CI_MERGE_REQUEST_ID": "9", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix",
    "CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/9/head", "CI_MERGE_REQUEST_PROJECT_PATH": "shop/web",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "ann/web", "CI_PROJECT_PATH": "shop/web", "CI_JOB_ID": "5",
    "CI_SERVER_URL": "https://gitlab.example.com", "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
    "CI_PROJECT_URL": "https://gitlab.example.com/shop/web",
}  # fmt: skip
BITBUCKET = {
    "CI": "true", "BITBUCKET_BUILD_NUMBER": "12", "BITBUCKET_REPO_FULL_NAME": "shop/web", "BITBUCKET_COMMIT": HEAD,
    "BITBUCKET_BRANCH": "fix", "BITBUCKET_PR_ID": "4", "BITBUCKET_STEP_TRIGGERER_UUID": "{8d1f}",
    "BITBUCKET_STEP_RUN_NUMBER": "3",
}  # fmt: skip
CIRCLECI = {
    "CI": "true", "CIRCLECI": "true", "CIRCLE_BUILD_URL": "https://circleci.com/gh/shop/web/31", "CIRCLE_SHA1": HEAD,
    "CIRCLE_BRANCH": "pull/8", "CIRCLE_PR_NUMBER": "8", "CIRCLE_USERNAME": "ann", "CIRCLE_BUILD_NUM": "31",
    "CIRCLE_PROJECT_USERNAME": "shop", "CIRCLE_PROJECT_REPONAME": "web",
}  # fmt: skip
JENKINS = {
    "JENKINS_URL": "https://ci.example.com/", "BUILD_URL": "https://ci.example.com/job/web/PR-6/3/", "CHANGE_ID": "6",
    "CHANGE_BRANCH": "fix", "CHANGE_FORK": "ann", "GIT_COMMIT": HEAD, "BUILD_USER_ID": "ann",
    "GIT_URL": "git@git.example.com:shop/web.git", "GIT_BRANCH": "PR-6",
}  # fmt: skip


def pull_request(head: object, number: int = 5) -> str:
    base = {"repo": {"full_name": "shop/web"}}
    return json.dumps({"pull_request": {"number": number, "head": {"sha": HEAD, "repo": head}, "base": base}})


def test_a_push_at_an_enterprise_server() -> None:
    assert detect_run(GITHUB) == CiRun(
        "github-actions", "https://git.example.com/shop/web/actions/runs/77/attempts/2", "bob", "push",
        "refs/heads/main", "main", MERGE, None, False, "shop/web", "https://git.example.com",
        "https://git.example.com/api/v3", 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "is_fork"),
    [
        (pull_request({"full_name": "shop/web"}), False),
        (pull_request({"full_name": "ann/web"}), True),
        (pull_request(None), True),  # the fork was deleted
        (json.dumps({"issue": {"number": 5, "pull_request": {}}, "comment": {}}), None),
        ("no JSON", None),
        ("[1]", None),
    ],
)
def test_a_pull_request_and_whether_it_comes_from_a_fork(event: str, is_fork: bool | None) -> None:
    pull = {"GITHUB_REF": "refs/pull/5/merge", "GITHUB_HEAD_REF": "fix", "GITHUB_EVENT_PATH": "/event.json"}
    run = detect_run({**GITHUB, **pull}, {"/event.json": event}.__getitem__)
    assert run
    assert (run.pull_request, run.is_fork, run.branch) == (5, is_fork, "fix")
    assert run.commit == (HEAD if "head" in event else MERGE)


def test_an_event_file_that_is_not_there_is_no_failure(tmp_path: Path) -> None:
    run = detect_run({**GITHUB, "GITHUB_EVENT_PATH": str(tmp_path / "none"), "GITHUB_REF": "refs/pull/5/merge"})
    assert run
    assert (run.pull_request, run.is_fork) == (5, None)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (GITLAB, ("gitlab", "ann", "refs/merge-requests/9/head", "fix", 9, True, 1)),
        (BITBUCKET, ("bitbucket", "{8d1f}", "refs/heads/fix", "fix", 4, None, 3)),
        (CIRCLECI, ("circleci", "ann", "refs/heads/pull/8", "pull/8", 8, True, 1)),
        (JENKINS, ("jenkins", "ann", "refs/heads/fix", "fix", 6, True, 1)),
    ],
)
def test_other_systems(variables: dict[str, str], expected: tuple[object, ...]) -> None:
    run = detect_run(variables)
    assert run
    assert (run.provider, run.actor, run.ref, run.branch, run.pull_request, run.is_fork, run.attempt) == expected
    assert (run.commit, run.repository) == (HEAD, "shop/web")


def test_no_run_outside_of_a_ci_system() -> None:
    assert detect_run({}) is None
    assert detect_run({"CI": "true", "JENKINS_URL": "https://ci.example.com/"}) is None


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "variables",
    [GITHUB, GITLAB, BITBUCKET, CIRCLECI, JENKINS],
    ids=["github", "gitlab", "bitbucket", "circleci", "jenkins"],
)
def test_env_ci_sees_the_same_run(variables: dict[str, str], tmp_path: Path) -> None:
    """env-ci is what semantic-release recognizes CI systems by."""
    modules = install_packages("env-ci", "env-ci@11.2.0").parent
    script = tmp_path / "ask.mjs"
    ask = f"import ask from '{modules}/env-ci/index.js'; console.log(JSON.stringify(ask({{env: {json.dumps(variables)}}})))"
    script.write_text(ask)
    seen = json.loads(subprocess.run(["node", script], capture_output=True, text=True, check=True).stdout)
    run = detect_run(variables)
    assert run
    assert seen["commit"] == run.commit
    assert seen.get("slug", run.repository) == run.repository
    if "pr" in seen:
        assert seen["pr"] == str(run.pull_request)
    if "buildUrl" in seen and run.provider in {"circleci", "jenkins", "github-actions"}:
        assert run.url.startswith(seen["buildUrl"])
    if "jobUrl" in seen:
        assert seen["jobUrl"] == run.url


def test_a_deployment_names_who_started_it_and_the_run(project: SampleProject) -> None:
    variables = {**GITHUB, "ABREAST_STATE": ".abreast"}
    url = "https://git.example.com/shop/web/actions/runs/77/attempts/2"
    project.deploy(variables=variables)
    shown = project.latest_deployment()
    assert (shown["author"], shown["run_url"]) == ("bob", url)
    (listed,) = json.loads(project.run("history", "--json").stdout)
    assert (listed["author"], listed["run_url"]) == ("bob", url)
    assert url in project.run("history").stdout
    assert f"run: {url}" in project.run("show").stdout
    deployment = project.status()["deployment"]
    assert (deployment["author"], deployment["run_url"]) == ("bob", url)
    project.run("lock", "--reason", "x", variables=variables)
    assert project.status()["lock"]["holder"] == "bob"
    project.run("unlock")
    project.commit()
    project.deploy()  # on a person's machine
    assert project.latest_deployment()["run_url"] == ""
    assert project.status()["deployment"]["run_url"] is None


def test_a_shallow_and_detached_checkout_deploys(tmp_path: Path) -> None:
    """As actions/checkout leaves it: a commit without a branch, and without what was before."""
    origin = SampleProject(tmp_path / "origin")
    first = origin.commit()
    origin.commit(app_py=origin.app_source("    return 200, {'new': True}\n"))
    origin.git("clone", "-q", "--depth=1", f"file://{origin.folder}", str(tmp_path / "checkout"))
    checkout = copy(origin)
    checkout.folder = tmp_path / "checkout"
    checkout.git("checkout", "-q", "--detach")
    checkout.deploy()
    changed = json.loads(checkout.run("plan", "--json", "--since", first).stdout)["services"]["backend"]
    assert [each["file"] for each in changed["changed"]] == ["app.py", "change.txt"]
    checkout.run("rollback", "--yes", "--reason", "x", code=2)  # there is nothing before it, which it says
    checkout.down()
