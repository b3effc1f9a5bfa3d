"""`abreast init --github`: workflows without a finding by linters and parsers that others made."""

import copy
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import npm
from abreast.wiring.audit_key import KEY_VARIABLE
from sample_project import SampleProject
from workflow_projects import PROJECTS, SOURCE, init, program, run, write_project


def workflows(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the workflows by name. ``on`` is a word here, as GitHub reads it."""
    files = sorted((folder / ".github/workflows").iterdir())
    return {file.stem: yaml.load(file.read_text(), yaml.BaseLoader) for file in files}


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = write_project(tmp_path / "shop", PROJECTS[request.param])
    init(folder, "--github", "--action", SOURCE)
    return folder


@pytest.mark.exhaustive
def test_no_linter_and_no_parser_finds_anything(tmp_path: Path) -> None:
    folders = [write_project(tmp_path / name.replace(" ", "-"), config) for name, config in PROJECTS.items()]
    for folder in folders:
        init(folder, "--github", "--action", SOURCE)
    files = [str(file) for folder in folders for file in (folder / ".github/workflows").iterdir()]
    assert len(files) > 2 * len(PROJECTS)
    modules = npm.install_packages("workflow-parser", "@actions/workflow-parser@0.3.61").parent
    parsed = run("node", str(Path(__file__).with_name("parse_workflows.mjs")), str(modules), *files)
    assert json.loads(parsed.stdout) == {file: [] for file in files}
    run(program("zizmor"), "--offline", "--persona=pedantic", "--strict-collection", *map(str, folders))
    run(program("actionlint"), *files)
    run(program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *files)


def test_the_action_has_no_finding_either() -> None:
    action = str(Path(__file__).parents[2] / "action.yml")
    run(program("check-jsonschema"), "--builtin-schema", "vendor.github-actions", action)
    run(program("zizmor"), "--offline", "--persona=pedantic", action)


@pytest.mark.parametrize(("host", "answer"), [("github.com", "password=of-this-run"), ("elsewhere.example", "")])
def test_git_gets_the_token_of_the_run_for_its_own_server_only(host: str, answer: str, tmp_path: Path) -> None:
    steps = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())["runs"]["steps"]
    (command,) = (step for step in steps if "COMMAND" in step.get("env", {}))
    given = {name: value for name, value in command["env"].items() if name.startswith("GIT_CONFIG")}
    given["GIT_CONFIG_KEY_0"] = given["GIT_CONFIG_KEY_0"].replace("${{ github.server_url }}", "https://github.com")
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", "credential", "fill"],
        input=f"protocol=https\nhost={host}\n\n",
        env={**variables, **given, "GITHUB_TOKEN": "of-this-run"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer in done.stdout
    assert ("of-this-run" in done.stdout) is (done.returncode == 0) is bool(answer), done.stderr


def test_each_environment_gets_its_own_secrets_and_no_others(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", {**PROJECTS["clouds"], "people": {"ada": "ada@example.com"}})
    said = init(folder, "--github", "--action", SOURCE)
    jobs = workflows(folder)["deploy"]["jobs"]
    common = {"STRIPE_LIVE", "DATABASE_URL", "BACKUP_PASSPHRASE", "NETLIFY_AUTH_TOKEN", "RENDER_API_KEY"}
    common |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", KEY_VARIABLE}
    for name, own in (("staging", set()), ("production", {"SENTRY_DSN"})):
        env = jobs[name]["steps"][-1]["env"]
        assert {key for key, value in env.items() if value == f"${{{{ secrets.{key} }}}}"} == common | own
        assert env["LOG_LEVEL"] == "${{ vars.LOG_LEVEL }}"
        assert jobs[name]["environment"] == {"name": name, "deployment": "false"}
    assert "set the secrets of the environment production: STRIPE_LIVE" in said
    gates, plan = (workflows(folder)["ci"]["jobs"][name] for name in ("gates", "plan"))
    assert "secrets." not in str(gates)  # it runs the code of the pull request
    assert plan["environment"] == {"name": "pull-request", "deployment": "false"}


def test_the_key_of_the_record_is_for_jobs_that_run_what_was_merged(project: Path) -> None:
    found = workflows(project)
    for name, workflow in found.items():
        for job in workflow["jobs"].values():
            has_key = f"secrets.{KEY_VARIABLE}" in str(job)
            assert has_key is (name not in {"ci", "preview"}), name
            assert str(job).count(KEY_VARIABLE) == 2 * has_key, "once, of the step that runs abreast"
        assert KEY_VARIABLE not in str({key: value for key, value in workflow.items() if key != "jobs"})
        assert "pull_request_target" not in workflow["on"]


_DEPLOYING = {
    "contents", "deployments", "checks", "pull-requests", "id-token", "attestations", "artifact-metadata",
}  # fmt: skip
ALLOWED = {
    "ci": {"pull-requests"},
    "deploy": _DEPLOYING,
    "rollback": _DEPLOYING,
    "backup": {"contents", "id-token"},
    "promote": {
        "contents",
        "deployments",
        "checks",
        "pull-requests",
        "id-token",
        "attestations",
        "artifact-metadata",
    },
    "preview": {"contents", "deployments", "checks", "pull-requests", "id-token"},
}
"""What the jobs of each workflow may write."""


def test_least_permissions_and_pinned_actions(project: Path) -> None:
    for name, workflow in workflows(project).items():
        assert workflow["permissions"] == {}
        for title, job in workflow["jobs"].items():
            granted = {scope for scope, level in job["permissions"].items() if level == "write"}
            assert granted <= ALLOWED[name], name
            runs_code_of_pull_requests = name == "ci" or (name == "preview" and not title.endswith("-removal"))
            assert ("id-token" in granted) is not runs_code_of_pull_requests, "who acts is vouched for"
            assert int(job["timeout-minutes"]) <= 60
            for step in job["steps"]:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
            if name != "ci":
                assert job["concurrency"]["queue"] == "max"
                assert job["concurrency"]["cancel-in-progress"] == "false"


def test_branches_that_environments_name_deploy_there(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", PROJECTS["branches"])
    init(folder, "--github", "--action", SOURCE)
    deploy = workflows(folder)["deploy"]
    assert deploy["on"]["push"]["branches"] == ["main", "next"]
    assert "github.ref_name == 'next'" in deploy["jobs"]["preview"]["if"]


def test_each_of_the_usual_environments_is_deployed_in_its_own_way(tmp_path: Path) -> None:
    config = copy.deepcopy(PROJECTS["clouds"])
    services = config["environments"]["staging"]
    config["environments"] = {
        "development": {},
        "staging": {**services, "branch": "main"},
        "production": {**services, "promotion": {"source": "staging"}},
        "canary": {**services, "branch": "release"},
    }
    folder = write_project(tmp_path / "shop", config)
    init(folder, "--github", "--action", SOURCE)
    found = workflows(folder)
    assert list(found["deploy"]["jobs"]) == ["staging", "canary"], "nothing of development, which is no runner"
    assert found["deploy"]["on"]["push"]["branches"] == ["main", "release"]
    assert list(found["promote"]["jobs"]) == ["production"]


def test_the_first_environment_that_takes_commits_gets_the_default_branch(tmp_path: Path) -> None:
    config = copy.deepcopy(PROJECTS["clouds"])
    services = {key: value for key, value in config["environments"]["staging"].items() if key != "branch"}
    config["environments"] = {
        "development": {},
        "production": {**services, "promotion": {"source": "staging"}},
        "staging": services,
    }
    folder = write_project(tmp_path / "shop", config)
    init(folder, "--github", "--action", SOURCE)
    assert list(workflows(folder)["deploy"]["jobs"]) == ["staging"]
    assert workflows(folder)["deploy"]["on"]["push"]["branches"] == ["main"]


def test_a_backup_is_planned_only_where_it_outlives_the_runner(tmp_path: Path) -> None:
    kept = write_project(tmp_path / "kept", PROJECTS["clouds"])
    init(kept, "--github", "--action", SOURCE)
    assert {entry["timezone"] for entry in workflows(kept)["backup"]["on"]["schedule"]} == {"Europe/Berlin"}
    lost = write_project(
        tmp_path / "lost", {key: PROJECTS["clouds"][key] for key in ("services", "environments", "gates")}
    )
    assert "add: backups: {store:" in init(lost, "--github", "--action", SOURCE)
    assert "backup" not in workflows(lost)


def test_a_file_that_exists_is_not_replaced_without_its_difference(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", PROJECTS["one page"])
    init(folder, "--github", "--action", SOURCE)
    file = folder / ".github/workflows/deploy.yml"
    own = file.read_text().replace("timeout-minutes: 60", "timeout-minutes: 90")
    file.write_text(own)
    (folder / ".github/workflows/ci.yml").unlink()
    refused = init(folder, "--github", code=2)
    assert "-    timeout-minutes: 90\n" in refused
    assert file.read_text() == own
    assert not (folder / ".github/workflows/ci.yml").exists()  # all of them, or none
    init(folder, "--github", "--yes")  # it knows from the file where abreast comes from
    assert f"uses: {SOURCE}" in file.read_text()
    assert "timeout-minutes: 90" not in file.read_text()


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        (PROJECTS["one page"], (), "abreast init --github --action OWNER/NAME@COMMIT"),
        (PROJECTS["one page"], ("--action", "acme/abreast@v1"), "a tag or a branch can be moved"),
        (PROJECTS["one page"], ("--action", "acme/abreast@0123456"), "the 40 digits of a commit"),
        ({**PROJECTS["one page"], "environments": {"local": {}}}, ("--action", SOURCE), "no environment that a runner"),
    ],
)
def test_what_it_cannot_know_is_asked_for(
    tmp_path: Path, config: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    folder = write_project(tmp_path / "shop", config)
    assert said in init(folder, "--github", *arguments, code=2)
    assert not (folder / ".github").exists()


def test_a_secret_that_github_does_not_have_is_not_set(tmp_path: Path) -> None:
    project = SampleProject(tmp_path / "shop")
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    project.commit()
    runner = {"GITHUB_ACTIONS": "true", "ABREAST_STATE": str(tmp_path / "state"), "API_TOKEN": ""}
    assert "${API_TOKEN} is not set" in project.run("plan", code=2, variables=runner).stderr
