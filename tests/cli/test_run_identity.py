"""Who acts in a run of a CI system: what it signed is recorded, what contradicts it is refused, what is unknown is said."""

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from abreast.testing.github import WorkflowJob, WorkflowRun
from abreast.testing.gitlab import GitLabEmulator, GitLabJob
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.threaded_server import ThreadedServer
from github_stage import TOKEN, GitHubStage, github_stage
from sample_project import SampleProject

REQUEST, KEYS = "/idtoken", "/.well-known/"


@dataclass
class Run:
    """A job of GitHub that may ask for ID tokens, in the sample project."""

    project: SampleProject
    stage: GitHubStage
    job: WorkflowJob

    @property
    def variables(self) -> dict[str, str]:
        return {**self.job.variables(self.stage.url), "ABREAST_STATE": ".abreast"}

    def lock(self, code: int = 0, **variables: str) -> str:
        """Record an act, and return what is said of it."""
        command = ("lock", "--env", "local", "--reason", "a sale")
        done = self.project.run(*command, code=code, variables={**self.variables, **variables})
        return done.stderr

    def acts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.project.run("audit", "export").stdout.splitlines()]

    def requests(self, path: str = "") -> list[str]:
        return [asked for _, asked in self.stage.emulator.id_tokens.faults.requests if path in asked]

    def tokens(self, audience: str) -> list[str]:
        """Return the tokens that were issued for an audience."""
        issued = self.stage.emulator.id_tokens.issued
        return [token for token in issued if jwt.decode(token, options={"verify_signature": False})["aud"] == audience]

    def fail(self, path: str, kind: FaultKind = FaultKind.STATUS, status: int = 503) -> None:
        fault = InjectedFault(".*", path, kind, times=9, status=status)
        self.stage.emulator.id_tokens.faults.planned.append(fault)


@pytest.fixture
def run(project: SampleProject, tmp_path: Path) -> Iterator[Run]:
    with github_stage(tmp_path / "github") as stage:
        yield Run(project, stage, stage.emulator.add_job(WorkflowJob(stage.repository, environment="local")))


def test_a_deployment_is_recorded_with_what_github_signed(run: Run) -> None:
    commit = run.project.commit()
    told = run.project.deploy(variables=run.variables)
    assert "warning" not in told.stderr
    assert run.project.served_commits()["backend"] == commit
    found = run.acts()
    assert {act["evidence"] for act in found} == {"id token"}
    repository = run.stage.repository
    expected = {
        "who": "octocat", "who_id": "1", "who_kind": "github-actions",
        "who_url": f"{run.stage.url}/octo/shop/actions/runs/42/attempts/1",
        "token_issuer": f"{run.stage.url}/_services/token",
        "token_subject": f"repo:octo-9919/shop-{repository.id}:environment:local",
        "token_repository_id": str(repository.id), "token_owner_id": "9919", "token_actor": "octocat",
        "token_actor_id": "1", "token_run_id": "42", "token_run_attempt": "1", "token_environment": "local",
        "token_workflow": "octo/shop/.github/workflows/deploy.yml@refs/heads/main", "token_ref": "refs/heads/main",
        "token_commit": run.stage.commit, "token_job_id": "",
    }  # fmt: skip
    assert {name: found[0][name] for name in expected} == expected
    assert found[0]["token_id"]
    assert "id token" in run.project.run("audit", "change", "--env", "local").stdout
    assert f"identity: octocat, by id token: {expected['token_subject']}" in run.project.run("show").stdout
    shown = run.project.latest_deployment()["identity"]
    assert (shown["evidence"], shown["token"]["subject"]) == ("id token", expected["token_subject"])
    assert len(run.tokens("abreast")) == 1, "one question for each process"
    asked = len(run.requests())
    for command in (["status"], ["plan"], ["history"], ["show"], ["audit", "verify"], ["audit", "export"]):
        run.project.run(*command, variables=run.variables)
    assert len(run.requests()) == asked, "who only reads asks nobody"


def test_neither_a_token_nor_what_it_is_exchanged_for_gets_anywhere(run: Run, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    frontend, backend = run.project.config["services"]["frontend"], run.project.config["services"]["backend"]
    frontend["build"]["run"] += f"; env > {seen}/build"
    backend["test"] = f"env > {seen}/test"
    backend["run"] = f"env > {seen}/service; {backend['run']}"
    run.project.commit()
    told = [run.project.deploy("--verbose", variables=run.variables)]
    told += [run.project.run(*command) for command in (["show", "--json"], ["logs"], ["audit", "export"])]
    assert run.tokens("abreast")
    assert run.tokens("sigstore")
    issued = run.stage.emulator.id_tokens.issued
    secrets = {run.job.bearer, *issued, *(token.rpartition(".")[2] for token in issued)}
    texts = {str(done.args): done.stdout + done.stderr for done in told}
    files = [file for folder in (run.project.folder / ".abreast", seen) for file in folder.rglob("*") if file.is_file()]
    texts |= {str(file): file.read_bytes().decode(errors="replace") for file in files}
    texts |= dict(environments_below(run.project.folder))
    assert {"build", "test", "service"} <= {Path(name).name for name in texts}
    assert any(name.startswith("process") for name in texts), "the supervisor lives on"
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


def environments_below(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the variables of the processes that serve a project."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if str(folder).encode() in command:
            yield f"process {command!r}", environment.decode(errors="replace")


@pytest.mark.parametrize(
    ("variable", "forged", "signed"),
    [("GITHUB_ACTOR", "boss", "actor is octocat"), ("GITHUB_RUN_ID", "41", "run_id is 42")],
    ids=["actor", "run"],
)
def test_what_contradicts_the_token_is_refused_and_recorded(run: Run, variable: str, forged: str, signed: str) -> None:
    run.project.commit()
    told = run.project.deploy(code=3, variables={**run.variables, variable: forged}).stderr
    contradiction = f"{variable} is {forged}, and GitHub signed that {signed}"
    assert contradiction in told
    assert json.loads(run.project.run("history", "--json").stdout) == []
    (act,) = run.acts()
    assert (act["what"], act["outcome"], act["evidence"]) == ("deploy", "refused", "environment")
    assert contradiction in act["detail"]
    assert (act["token_actor"], act["token_run_id"]) == ("octocat", "42"), "what was signed is beside it"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"aud": "sts.amazonaws.com"}, "Audience doesn't match"),
        ({"iss": "https://token.actions.githubusercontent.com"}, "Invalid issuer"),
        ({"exp": 1}, "expired"),
        ({"nbf": 9_999_999_999}, "not yet valid"),
        ({"repository_id": "1"}, "GITHUB_REPOSITORY_ID is "),
    ],
    ids=["audience", "issuer", "expired", "future", "repository"],
)
def test_a_token_that_is_not_of_this_run_is_refused(run: Run, claims: Mapping[str, Any], told: str) -> None:
    run.job.claims.update(claims)
    assert told in run.lock(code=3)
    (act,) = run.acts()
    assert (act["what"], act["outcome"], act["evidence"]) == ("lock", "refused", "environment")


def test_a_run_that_somebody_started_again_is_vouched_for_but_not_the_person(run: Run) -> None:
    run.job.attempt, run.job.triggering_actor = 2, "hubot"
    assert run.lock() == ""
    (act,) = run.acts()
    assert (act["who"], act["who_id"], act["evidence"]) == ("hubot", "", "environment")
    assert (act["token_actor"], act["token_run_attempt"]) == ("octocat", "2")


@pytest.mark.parametrize(
    ("path", "kind", "status", "told"),
    [
        (REQUEST, FaultKind.STATUS, 503, "status 503"),
        (REQUEST, FaultKind.STATUS, 403, "status 403"),
        (REQUEST, FaultKind.REQUEST_DROPPED, 0, "GitHub"),
        (KEYS, FaultKind.STATUS, 503, "status 503"),
        (KEYS, FaultKind.RESPONSE_LOST, 0, "GitHub"),
    ],
)
def test_a_question_without_an_answer_is_said_and_stops_nothing(
    run: Run, path: str, kind: FaultKind, status: int, told: str
) -> None:
    run.fail(path, kind, status)
    said = run.lock()
    assert said.count("warning: who started this run is not verified") == 1
    assert told in said
    (act,) = run.acts()
    assert (act["who"], act["evidence"], act["token_subject"]) == ("octocat", "environment", "")


def test_a_job_without_the_permission_is_as_it_was(run: Run) -> None:
    assert run.lock(ACTIONS_ID_TOKEN_REQUEST_URL="", ACTIONS_ID_TOKEN_REQUEST_TOKEN="") == ""
    (act,) = run.acts()
    assert (act["who"], act["evidence"], act["token_subject"]) == ("octocat", "environment", "")
    assert run.requests() == []
    run.job.has_ended = True
    assert "status 401" in run.lock()


def test_an_agent_that_is_refused_is_named_with_the_verified_account(run: Run) -> None:
    assert "robot is an agent" in run.lock(code=3, ABREAST_AGENT="robot")
    (act,) = run.acts()
    assert (act["agent"], act["outcome"], act["evidence"]) == ("robot", "refused", "id token")


def test_the_refusal_of_a_command_that_reads_is_recorded_with_the_verified_account(run: Run) -> None:
    project, who = run.project, ("-c", "user.name=t", "-c", "user.email=t@localhost")
    project.deploy()
    project.git("checkout", "-q", "--orphan", "other")
    project.git(*who, "commit", "-qm", "Another history")
    project.git("branch", "-qD", "main")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    assert "it is unknown whether" in project.run("plan", "--force", code=3, variables=run.variables).stderr
    act = run.acts()[-1]
    assert (act["what"], act["outcome"], act["evidence"]) == ("plan", "refused", "id token")


def test_github_confirms_the_run_and_the_issuer_and_the_report_counts_evidence(run: Run) -> None:
    run.lock()
    run.lock(ACTIONS_ID_TOKEN_REQUEST_TOKEN="")
    run.stage.repository.runs.append(WorkflowRun(42, 1, ("octocat", 1), run.stage.commit, "2026-11-21T02:00:00Z"))
    reader = {"GITHUB_API_URL": run.stage.url, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/shop"}
    verified = run.project.run("audit", "verify", "--github", variables=reader).stdout
    assert "GitHub confirms who started 1 run\n" in verified, "two commands of one run"
    report = json.loads(run.project.run("audit", "export", "--report", "--json").stdout)
    assert (report["evidence"]["id token"], report["evidence"]["environment"]) == (1, 1)
    told = run.project.run("audit", "export", "--report").stdout
    assert "| id token | 1 | the CI system, which signed who started the run |" in told
    rows = list(csv.DictReader(io.StringIO(run.project.run("audit", "export", "--csv").stdout)))
    assert [row["token_run_id"] for row in rows] == ["42", ""]


def test_a_token_of_an_issuer_that_the_reader_does_not_know_is_found(run: Run, tmp_path: Path) -> None:
    run.lock()
    with github_stage(tmp_path / "real") as real:
        real.repository.runs.append(WorkflowRun(42, 1, ("octocat", 1), real.commit, "2026-11-21T02:00:00Z"))
        reader = {"GITHUB_API_URL": real.url, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "octo/shop"}
        told = run.project.run("audit", "verify", "--github", code=1, variables=reader).stdout
    assert f"is by {run.stage.url}/_services/token, not by {real.url}/_services/token" in told


@pytest.fixture
def gitlab() -> Iterator[tuple[GitLabEmulator, str]]:
    emulator = GitLabEmulator()
    with ThreadedServer(emulator.app) as server:
        yield emulator, server.url


JOB = GitLabJob(302, ("ann", 7), "c" * 40, "2026-11-21T02:00:00Z")


def test_a_job_at_gitlab_is_recorded_with_what_it_signed(
    project: SampleProject, gitlab: tuple[GitLabEmulator, str]
) -> None:
    emulator, url = gitlab
    variables = {**emulator.variables(url, JOB), "ABREAST_STATE": ".abreast"}
    project.run("lock", "--env", "local", "--reason", "a sale", variables=variables)
    (act,) = [json.loads(line) for line in project.run("audit", "export").stdout.splitlines()]
    assert (act["who"], act["who_id"], act["evidence"]) == ("ann", "7", "id token")
    assert (act["token_issuer"], act["token_repository_id"], act["token_job_id"]) == (url, "4711", "302")
    reading = len(emulator.faults.requests)
    project.run("status", variables=variables)
    project.run("plan", variables=variables)
    assert len(emulator.faults.requests) == reading
    record = [file.read_bytes() for file in (project.folder / ".abreast").rglob("*") if file.is_file()]
    assert record
    assert variables["ABREAST_ID_TOKEN"].encode() not in b"".join(record)


def test_a_job_at_gitlab_that_is_not_what_it_claims_is_refused(
    project: SampleProject, gitlab: tuple[GitLabEmulator, str]
) -> None:
    emulator, url = gitlab
    honest = {**emulator.variables(url, JOB), "ABREAST_STATE": ".abreast"}
    of_another_job = emulator.variables(url, replace(JOB, id=301))["ABREAST_ID_TOKEN"]
    forged = {
        "GITLAB_USER_LOGIN is boss": {"GITLAB_USER_LOGIN": "boss"},
        "CI_JOB_URL is ": {"CI_JOB_URL": f"{url}/acme/web/shop/-/jobs/1"},
        "CI_JOB_ID is 302": {"ABREAST_ID_TOKEN": of_another_job},
        "Audience": {"ABREAST_ID_TOKEN": emulator.variables(url, JOB, "vault")["ABREAST_ID_TOKEN"]},
        "expired": {"ABREAST_ID_TOKEN": emulator.variables(url, JOB, exp=1)["ABREAST_ID_TOKEN"]},
        "Not enough segments": {"ABREAST_ID_TOKEN": "not a token"},
    }
    for told, variables in forged.items():
        done = project.run("lock", "--env", "local", "--reason", "a sale", code=3, variables={**honest, **variables})
        assert told in done.stderr
    lines = project.run("audit", "export").stdout.splitlines()
    assert {json.loads(line)["outcome"] for line in lines} == {"refused"}
    assert len(lines) == len(forged)


# ── where an environment demands it ────────────────────────────────────────────────────────────

UNSET = {"ACTIONS_ID_TOKEN_REQUEST_URL": "", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}
"""The variables of a job in which somebody unset what an ID token is asked for with."""


def test_who_deploys_is_proven_where_the_environment_demands_it(run: Run) -> None:
    project = run.project
    project.config["environments"]["local"]["identity"] = "id-token"
    first = project.commit()
    told = project.deploy(code=3, variables={**run.variables, **UNSET}).stderr
    assert "local has `identity: id-token`, and no ID token proves that this is octocat" in told
    assert "the evidence is kernel" in project.deploy(code=3).stderr
    assert [(act["what"], act["outcome"], act["evidence"]) for act in run.acts()] == [
        ("deploy", "refused", "environment"), ("deploy", "refused", "kernel"),
    ]  # fmt: skip
    assert json.loads(project.run("history", "--json").stdout) == []
    project.deploy(variables=run.variables)
    project.commit("Next")
    project.deploy(variables=run.variables)
    back = ("rollback", "--yes", "--reason", "critical bug: orders fail")
    assert "no ID token proves" in project.run(*back, code=3).stderr
    project.run(*back, "--emergency")
    assert project.served_commits()["backend"] == first
    assert run.acts()[-1]["evidence"] == "kernel", "an emergency goes on, and the record says what is known"


def test_a_run_that_was_started_again_does_not_prove_who_deploys(run: Run) -> None:
    run.project.config["environments"]["local"]["identity"] = "id-token"
    run.project.commit()
    run.job.attempt, run.job.triggering_actor = 2, "hubot"
    told = run.project.deploy(code=3, variables=run.variables).stderr
    assert "the ID token of this run does not say that hubot started this attempt of it" in told
    assert "needed: a new run of a job" in told


def test_who_approves_is_proven_where_the_environment_demands_it(run: Run) -> None:
    project, stage = run.project, run.stage
    project.config["people"] = {"ada": "ada@example.com"}
    rules = {"identity": "id-token", "approval": {"by": ["ada"]}}
    project.config["environments"]["local"] |= rules
    project.commit()
    project.deploy(variables=run.variables)
    assert project.latest_deployment()["state"] == "approving"
    job = WorkflowJob(stage.repository, run_id=43, actor=("ada", 7), environment="local")
    approver = {**stage.emulator.add_job(job).variables(stage.url), "ABREAST_STATE": ".abreast"}
    told = project.run("approve", code=3, variables={**approver, **UNSET}).stderr
    assert "local has `identity: id-token`, and no ID token proves that this is ada" in told
    assert "needed: one of ada, in a new run of a job that may have an ID token" in told
    assert "ada approves; it does not count" in project.run("show").stdout
    del project.config["environments"]["local"]["identity"]
    project.commit("Take the rule away")
    assert "no ID token proves" in project.run("approve", code=3, variables={**approver, **UNSET}).stderr
    project.run("approve", variables=approver)
    project.run("resume", variables=run.variables)
    assert project.latest_deployment()["state"] == "succeeded"


def test_nobody_is_sent_a_link_that_would_not_count(run: Run) -> None:
    key = {"ABREAST_AUDIT_KEY": base64.b64encode(bytes(32)).decode()}
    project = run.project
    project.config["people"] = {"ada": "ada@example.com"}
    project.config["environments"]["local"] |= {"identity": "id-token", "approval": {"by": ["ada"]}}
    project.commit()
    told = project.deploy(variables={**run.variables, **key}).stdout
    assert "nobody is sent a link to approve by: local has `identity: id-token`" in told
    link = project.run("approve", "--link-for", "ada", code=3, variables=key).stderr
    assert "a link proves less" in link
