"""``doctor --github`` finds what is missing at GitHub, and what it prints mends it: as commands of ``gh``, and by itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

import fork_server
from abreast.testing.github.model import CheckRun
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from github_stage import ADMIN, TOKEN, GitHubStage, github_stage

CONFIG = """
project: shop
services:
  web: {build: {run: "true", output: .}, env: {SENTRY_DSN: "${SENTRY_DSN}"}}
environments:
  local: {}
  production:
    web: {netlify: {site: shop}}
"""
GH = which("gh", path=str(Path(sys.executable).parent))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GitHubStage]:
    with github_stage(tmp_path) as made:
        (tmp_path / "work" / "abreast.yml").write_text(CONFIG)
        made.repository.workflow_permissions = "write"
        made.repository.actions_enabled = False
        yield made


def doctor(stage: GitHubStage, *arguments: str, token: str = ADMIN, code: int) -> str:
    variables = {"GITHUB_API_URL": stage.url, "GH_TOKEN": token, "GITHUB_REPOSITORY": "octo/shop"}
    done = fork_server.run_command(stage.folder / "work", "doctor", "--github", *arguments, variables=variables)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def acts(stage: GitHubStage) -> list[dict[str, str]]:
    """Return the acts in the audit trail."""
    done = fork_server.run_command(stage.folder / "work", "audit", "export")
    return [json.loads(line) for line in done.stdout.splitlines()]


def ran_checks(stage: GitHubStage) -> None:
    """Let a check have passed on the default branch."""
    for name in ("tests", "abreast / production"):
        fields = {"name": name, "head_sha": stage.commit, "status": "completed", "conclusion": "success"}
        stage.repository.check_runs.append(CheckRun(stage.emulator.next_id(), fields))


def problems(said: str) -> list[str]:
    """Return what is wrong, without its place in the table."""
    return [
        " ".join(line.split()) for line in said.splitlines() if line.startswith(("  warning", "  fault", "  unknown"))
    ]


WRONG = [
    "fault actions workflows do not run in this repository",
    "warning workflow token the token of every workflow may write, also where it does not ask for that",
    "warning branch main is not protected: whoever may push decides what is deployed",
    "warning environment production does not exist at GitHub",
    "fault secrets of production NETLIFY_AUTH_TOKEN is not set",
    "fault secrets of production SENTRY_DSN is not set",
]


def test_the_printed_commands_of_gh_mend_it(stage: GitHubStage) -> None:
    for _ in range(2):  # the checks of a person's token are hidden; secrets of an environment come after it
        said = doctor(stage, code=1)
        commands = [
            line.partition("next:")[2].strip() for line in said.splitlines() if "next:   " in line and "gh " in line
        ]
        for command in commands:
            assert GH
            variables = {**stage.gh_environment, "NETLIFY_AUTH_TOKEN": "nfp_x", "SENTRY_DSN": "https://a@b/1"}
            variables["PATH"] = f"{Path(GH).parent}:{variables['PATH']}"
            done = subprocess.run(
                command, shell=True, env=variables, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, (command, done.stderr)
        if stage.repository.secrets:
            break
    assert stage.repository.actions_enabled
    assert stage.repository.workflow_permissions == "read"
    assert "main" in stage.repository.protections
    assert "production" in stage.repository.environments
    assert set(stage.repository.secrets) == {"NETLIFY_AUTH_TOKEN", "SENTRY_DSN"}


def test_what_is_wrong_is_listed(stage: GitHubStage) -> None:
    assert [line for line in problems(doctor(stage, code=1)) if not line.startswith("unknown")] == WRONG


def test_fix_mends_what_a_request_can_mend(stage: GitHubStage) -> None:
    stage.emulator.tokens[ADMIN].permissions = {**stage.emulator.tokens[ADMIN].permissions, "checks": "read"}
    ran_checks(stage)
    said = doctor(stage, "--fix", code=1)
    assert problems(said) == WRONG[-2:]
    assert "is protected; required: tests" in said
    assert "gh secret set SENTRY_DSN --repo octo/shop --env production" in said
    stage.repository.organization_secrets = {"NETLIFY_AUTH_TOKEN"}
    stage.repository.environments["production"].secrets["SENTRY_DSN"] = "…"
    stage.repository.environments["production"].reviewers = [
        {"type": "User", "id": 1, "login": "octocat"}, {"type": "User", "id": 2, "login": "hubot"},
    ]  # fmt: skip
    stage.repository.groups["deploy-production"] = [(5, "in_progress"), (6, "pending")]
    said = doctor(stage, code=0)
    assert problems(said) == []
    assert "octocat, hubot; they count as one approval, although there are several reviewers" in said
    assert "held by run 5" in said
    assert "1 run waits" in said


def test_a_change_that_is_refused_is_said(stage: GitHubStage) -> None:
    stage.emulator.faults.planned.append(InjectedFault("PUT", "/protection$", FaultKind.STATUS, status=403, body="{}"))
    said = doctor(stage, "--fix", code=1)
    assert "the token may not do this (status 403)" in said
    assert "production" in stage.repository.environments, "the other changes were made"
    mended = "octo/shop, environment production: PUT /environments/production {}"
    assert [(act["outcome"], act["detail"]) for act in acts(stage) if "environment production" in act["detail"]] == [
        ("begun", mended), ("done", mended),
    ]  # fmt: skip
    begun, refused = (act for act in acts(stage) if "branch main" in act["detail"])
    assert (begun["outcome"], refused["outcome"]) == ("begun", "refused")
    assert '"required_status_checks": null' in begun["detail"]
    assert "the token may not do this (status 403)" in refused["detail"]
    assert {(act["what"], act["evidence"], bool(act["who"])) for act in acts(stage)} == {
        ("doctor --github --fix", "kernel", True)
    }


def test_a_change_that_is_not_answered_may_have_been_made(stage: GitHubStage) -> None:
    stage.emulator.faults.planned.append(
        InjectedFault("PUT", "/environments/production$", FaultKind.STATUS, status=503, body="{}", times=100)
    )
    doctor(stage, "--fix", code=1)
    begun, ended = (act for act in acts(stage) if "environment production" in act["detail"])
    assert (begun["outcome"], ended["outcome"]) == ("begun", "unknown")


def test_what_only_looks_is_no_act(stage: GitHubStage) -> None:
    doctor(stage, code=1)
    assert acts(stage) == []


def test_what_it_may_not_look_at_is_unknown_with_the_permission(stage: GitHubStage) -> None:
    said = doctor(stage, token=TOKEN, code=1)
    assert {line.split(maxsplit=1)[0] for line in problems(said)} == {"unknown", "warning"}
    for permission in ("administration: read", "secrets: read"):
        assert f"needed: a token with {permission}" in said
    assert "the token may not look everywhere for NETLIFY_AUTH_TOKEN, SENTRY_DSN" in said
    assert not stage.requests("PUT")


def test_a_branch_that_is_not_shown_is_unknown(stage: GitHubStage) -> None:
    """GitHub answers 404 to who may not see what protects a branch, and with another word to who may."""
    body = '{"message": "Not Found"}'
    stage.emulator.faults.planned.append(
        InjectedFault("GET", "/branches/main/protection$", FaultKind.STATUS, status=404, body=body)
    )
    said = problems(doctor(stage, code=1))
    assert "unknown branch main the token may not look" in said


def test_all_secrets_that_the_file_names_are_needed(stage: GitHubStage) -> None:
    """Those of notifiers and databases too; not what has a default, is no secret, or is of another environment."""
    more = """
  api:
    run: ./api
    database: {url: "${SHOP_DATABASE_URL}", migrations: migrations}
    env: {PLAIN: "${PLAIN}", API_TOKEN: "${API_TOKEN:-none}"}
notify: {slack: {webhook: "${SLACK_WEBHOOK_URL}"}}
"""
    services, rest = CONFIG.split("environments:")
    services_more, notify = more.split("notify:")
    text = (
        f"{services.rstrip()}{services_more}environments:{rest}    api: {{render: {{service: srv-1}}}}\nnotify:{notify}"
    )
    (stage.folder / "work" / "abreast.yml").write_text(text)
    said = "\n".join(problems(doctor(stage, code=1)))
    found = {
        name
        for name in ("SHOP_DATABASE_URL", "SLACK_WEBHOOK_URL", "RENDER_API_KEY", "PLAIN", "API_TOKEN")
        if name in said
    }
    assert found == {"SHOP_DATABASE_URL", "SLACK_WEBHOOK_URL", "RENDER_API_KEY"}


def test_fix_needs_github(stage: GitHubStage) -> None:
    done = fork_server.run_command(stage.folder / "work", "doctor", "--fix")
    assert done.returncode == 2
    assert "abreast doctor --github --fix" in done.stderr


def test_previews_have_an_environment_with_secrets_of_its_own(stage: GitHubStage) -> None:
    (stage.folder / "work" / "abreast.yml").write_text(CONFIG.replace("production:", "production:\n    preview: true"))
    said = doctor(stage, code=1)
    assert "environment production-preview does not exist at GitHub" in " ".join(said.split())
    assert "secrets of production-preview" in said
