"""``abreast audit``: what is in the trail, what is found, and what agents may not do."""

import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

import postgres_server
from abreast.cli.lazy import LazyCommand
from abreast.cli.main import abreast as commands
from abreast.cli.refusals import OPEN_TO_AGENTS
from abreast.testing import gitlab as gitlab_api
from abreast.testing.github import WorkflowRun
from abreast.testing.gitlab import GitLabEmulator, GitLabJob
from abreast.testing.platforms.threaded_server import ThreadedServer
from github_stage import TOKEN, github_stage
from sample_project import SampleProject
from state_worlds import GitWorld, git

GIT = {"ABREAST_STATE": "git"}
KEY = {"ABREAST_AUDIT_KEY": "YWJyZWFzdCBzaWducyB0aGlzIHdpdGggMzIgYnl0ZXM="}
"""A key for tests: 32 bytes in base64."""


def acts(project: SampleProject, *options: str, **variables: str) -> list[dict[str, Any]]:
    told = project.run("audit", "export", *options, variables=variables).stdout
    return [json.loads(line) for line in told.splitlines()]


def seen(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(act["what"], act["outcome"]) for act in found if act["what"] not in {"gate", "new-secrets"}]


def change(project: SampleProject, *statements: str) -> None:
    with closing(sqlite3.connect(project.folder / ".abreast" / "ledger.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_an_edited_row_is_named(project: SampleProject) -> None:
    project.run("lock", "--env", "local", "--reason", "a sale")
    intact = project.run("audit", "verify").stdout
    assert "intact" in intact
    change(
        project,
        "DROP TRIGGER entries_stay",
        "UPDATE entries SET entry = replace(entry, 'a sale', 'no sale') WHERE kind = 'lock'",
    )
    told = project.run("audit", "verify", code=1).stdout
    assert "entry 2 (lock of local, 20" in told
    assert told == project.run("state", "verify", code=1).stdout
    document = json.loads(project.run("audit", "verify", "--json", code=1).stdout)
    assert (document["intact"], document["damage"]) == (False, told.strip())


def test_who_did_what_and_what_was_refused(project: SampleProject) -> None:
    project.run("lock", "--env", "local", "--reason", "=HYPERLINK(1)")
    project.deploy(code=3)
    agent = {"ABREAST_AGENT": "robot"}
    refused = project.run("unlock", "--env", "local", code=3, variables=agent).stderr
    assert "robot is an agent" in refused
    project.run("unlock", "--env", "local")
    project.deploy()
    project.run("down", "--yes")
    found = acts(project)
    assert seen(found) == [
        ("lock", "done"), ("deploy", "refused"), ("unlock", "refused"), ("unlock", "done"), ("deploy", "begun"),
        ("end", "succeeded"), ("down", "begun"),
    ]  # fmt: skip
    assert {act["environment"] for act in found} == {"local"}
    assert {act["evidence"] for act in found} == {"kernel"}
    (robot,) = [act for act in found if act["agent"]]
    assert (robot["agent"], robot["detail"]) == ("robot", "robot is an agent, and may not give the command unlock")
    assert acts(project, "--by", "robot") == [robot]
    assert acts(project, "--env", "local-pr-1") == []
    assert "there is no environment 'locl'" in project.run("audit", "export", "--env", "locl", code=2).stderr
    assert acts(project, "--since", "2999-01-01") == []
    assert acts(project, "--until", found[0]["at"]) == []
    assert acts(project, "--since", found[0]["at"][:10], "--until", found[-1]["at"][:10]) == found
    rows = list(csv.DictReader(io.StringIO(project.run("audit", "export", "--csv").stdout)))
    assert [row["hash"] for row in rows] == [act["hash"] for act in found]
    assert rows[0]["why"] == "'=HYPERLINK(1)", "no formula"
    project.run("audit", "export", "--since", "yesterday", code=2)


def test_a_cut_off_tail_is_found_by_a_checkpoint(project: SampleProject, tmp_path: Path) -> None:
    file, key = tmp_path / "checkpoint", tmp_path / "key"
    project.run("lock", "--env", "local", "--reason", "a sale")
    project.run("unlock", "--env", "local")
    told = project.run("audit", "export", "--checkpoint", str(file)).stderr
    key.write_text(told.split("signed by ")[1].split()[0])
    assert (
        f"{file} stands" in project.run("audit", "verify", "--checkpoint", str(file), "--checkpoint", str(key)).stdout
    )
    change(project, "DROP TRIGGER entries_remain", "DELETE FROM entries WHERE seq = 3")
    with closing(sqlite3.connect(project.folder / ".abreast" / "ledger.db")) as database:
        ((seq, hash_, entry),) = database.execute("SELECT seq, hash, entry FROM entries WHERE seq = 2")
        lock = json.dumps(json.loads(entry)["data"]["lock"], sort_keys=True)
        database.execute("INSERT INTO operator_locks VALUES ('local', ?)", (lock,))
        database.execute(
            "CREATE TRIGGER entries_remain BEFORE DELETE ON entries WHEN old.seq IS NOT NULL"
            " BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END"
        )
        database.commit()
    (project.folder / ".abreast" / "ledger.anchor").write_text(json.dumps({"seq": seq, "hash": hash_}))
    assert "2 entries, intact" in project.run("audit", "verify").stdout, "nothing here shows it"
    told = project.run("audit", "verify", "--checkpoint", str(file), code=1).stdout
    assert f"{file}: 3 entries had been recorded at " in told
    assert "and 2 are left" in told
    wrong = project.folder / "abreast.yml"
    assert "NAME+ID+KEY" in project.run("audit", "verify", "--checkpoint", str(wrong), code=2).stderr


def test_a_damaged_key_fails_no_deployment_and_the_error_leads_out(project: SampleProject, tmp_path: Path) -> None:
    project.commit()
    project.deploy()
    key = project.folder / ".abreast" / "audit.key"
    key.write_bytes(b"")
    project.commit()
    assert f"the record is not signed: {key} is damaged: it has 0 bytes" in project.deploy().stdout
    assert "intact" in project.run("audit", "verify").stdout
    checkpoint = ("audit", "export", "--checkpoint", str(tmp_path / "checkpoint"))
    refused = project.run(*checkpoint, code=1).stderr
    assert f"next:   rm {key}" in refused
    key.unlink()
    project.run(*checkpoint)


def test_a_record_for_other_machines_is_signed_with_the_key_that_they_know(
    project: SampleProject, tmp_path: Path
) -> None:
    world = GitWorld(tmp_path / "world")
    git(project.folder, "remote", "add", "origin", str(world.remote))
    project.deploy(variables=GIT)
    assert "signed: nothing" in project.run("audit", "verify", variables=GIT).stdout
    file = str(tmp_path / "checkpoint")
    assert "ABREAST_AUDIT_KEY" in project.run("audit", "export", "--checkpoint", file, variables=GIT, code=1).stderr
    project.commit()
    project.deploy(variables={**GIT, **KEY})
    known = project.run("audit", "verify", variables={**GIT, **KEY}).stdout
    assert "refs/abreast/shop/ledger of origin" in known
    assert "by abreast/shop+" in known
    assert "not known here" in project.run("audit", "verify", variables=GIT).stdout
    project.run("audit", "export", "--checkpoint", file, variables={**GIT, **KEY})
    assert f"{file} stands" in project.run("audit", "verify", "--checkpoint", file, variables=GIT).stdout
    other = {**GIT, "ABREAST_AUDIT_KEY": KEY["ABREAST_AUDIT_KEY"].replace("Y", "Z")}
    assert "none of the keys known here" in project.run("audit", "verify", variables=other, code=1).stdout
    told = project.run("audit", "export", "--checkpoint", file, variables={**GIT, "ABREAST_AUDIT_KEY": "short"}, code=2)
    assert "openssl rand -base64 32" in told.stderr
    assert set(seen(acts(project, **GIT))) == {("deploy", "begun"), ("end", "succeeded")}
    project.run("down", "--yes", variables=GIT)


def test_a_home_that_became_shorter_or_another_one_is_noticed_by_the_copy_here(
    project: SampleProject, tmp_path: Path
) -> None:
    world = GitWorld(tmp_path / "world")
    git(project.folder, "remote", "add", "origin", str(world.remote))
    for reason in ("one", "two"):
        project.run("lock", "--env", "local", "--reason", reason, variables=GIT)
    ref = "refs/abreast/shop/ledger"
    whole = git(world.remote, "rev-parse", ref)
    git(world.remote, "update-ref", ref, f"{ref}~1")
    assert "were recorded, and" in project.run("audit", "verify", variables=GIT, code=1).stdout
    git(world.remote, "update-ref", ref, whole)
    assert "intact" in project.run("audit", "verify", variables=GIT).stdout
    mirrors = project.folder / ".abreast" / "mirrors"
    mirrors.rename(tmp_path / "mirrors")
    git(world.remote, "update-ref", "-d", ref)
    for reason in ("one", "too"):
        project.run("lock", "--env", "local", "--reason", reason, variables=GIT)
    assert "intact" in project.run("audit", "verify", variables=GIT).stdout, "a whole chain, but another one"
    shutil.rmtree(mirrors)
    (tmp_path / "mirrors").rename(mirrors)
    assert "is another one in refs/abreast/shop/ledger" in project.run("audit", "verify", variables=GIT, code=1).stdout


def test_an_edited_row_of_a_database_is_named(project: SampleProject) -> None:
    url = postgres_server.create_database()
    here = {"ABREAST_STATE": url, **KEY}
    project.run("lock", "--env", "local", "--reason", "a sale", variables=here)
    project.run("unlock", "--env", "local", variables=here)
    told = project.run("audit", "verify", variables=here).stdout
    assert "3 entries, each follows from the one before" in told
    assert postgres_server.QUOTED_PASSWORD not in told
    with psycopg.connect(url) as database:
        database.execute("UPDATE abreast.entries SET entry = replace(entry, 'a sale', 'no sale')")
    told = project.run("audit", "verify", variables=here, code=1).stdout
    assert "entry 2 (lock of local, 20" in told


STARTED, ENDED = "2026-11-21T02:00:00Z", "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("run", "told", "code"),
    [
        (WorkflowRun(77, 2, ("bob", 7), "c", STARTED), "GitHub confirms who started 1 run", 0),
        (WorkflowRun(77, 2, ("bob", 7), "c", STARTED, ENDED), "GitHub confirms who started 1 run", 0),
        (WorkflowRun(77, 2, ("bobby", 7), "c", STARTED), "GitHub confirms who started 1 run", 0),
        (WorkflowRun(77, 2, ("bob", 8), "c", STARTED), "was started by bob (8), not by bob (7)", 1),
        (WorkflowRun(77, 2, ("bob", 7), "c", STARTED, STARTED), "ran from 2026-11-21T02:00:00+00:00 to ", 1),
        (WorkflowRun(77, 2, ("bob", 7), "c", ENDED), "ran from 2999-01-01", 1),
        (WorkflowRun(77, 1, ("bob", 7), "c", STARTED), "GitHub does not know this run", 0),
    ],
    ids=["confirmed", "ended", "renamed", "somebody else", "an old run", "a run to come", "gone"],
)
def test_github_is_asked_who_started_a_run(
    project: SampleProject, tmp_path: Path, run: WorkflowRun, told: str, code: int
) -> None:
    claimed = {
        "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "octo/shop",
        "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_ACTOR": "bob", "GITHUB_ACTOR_ID": "7",
        "ABREAST_STATE": ".abreast",
    }  # fmt: skip
    project.run("lock", "--env", "local", "--reason", "a sale", variables=claimed)
    (act,) = acts(project)
    assert (act["who"], act["who_id"], act["evidence"]) == ("bob", "7", "environment")
    with github_stage(tmp_path / "github") as stage:
        stage.repository.runs.append(run)
        access = {"GITHUB_API_URL": stage.url, "GITHUB_TOKEN": TOKEN}
        reader = {**access, "GITHUB_REPOSITORY": "octo/shop"}
        assert told in project.run("audit", "verify", "--github", variables=reader, code=code).stdout
        other = {**access, "GITHUB_REPOSITORY": "octo/other"}
        told = project.run("audit", "verify", "--github", variables=other, code=1).stdout
        assert told.startswith(
            "entry 1: https://github.com/octo/shop/actions/runs/77/attempts/2 is no run of octo/other"
        )


JOB = {
    "GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.example/acme/web/shop/-/jobs/77", "GITLAB_USER_LOGIN": "bob",
    "GITLAB_USER_ID": "7", "CI_PROJECT_PATH": "acme/web/shop", "ABREAST_STATE": ".abreast",
}  # fmt: skip


@pytest.mark.parametrize(
    ("job", "told", "code"),
    [
        (GitLabJob(77, ("bob", 7), "c", STARTED), "GitLab confirms who started 1 job", 0),
        (GitLabJob(77, ("bob", 7), "c", STARTED, ENDED), "GitLab confirms who started 1 job", 0),
        (GitLabJob(77, ("bobby", 7), "c", STARTED), "GitLab confirms who started 1 job", 0),
        (GitLabJob(77, None, "c", STARTED), "GitLab confirms who started 1 job", 0),
        (GitLabJob(77, ("bob", 8), "c", STARTED), "was started by bob (8), not by bob (7)", 1),
        (GitLabJob(77, ("bob", 7), "c", STARTED, STARTED), "ran from 2026-11-21T02:00:00+00:00 to ", 1),
        (GitLabJob(77, ("bob", 7), "c", ENDED), "ran from 2999-01-01", 1),
        (GitLabJob(76, ("bob", 7), "c", STARTED), "GitLab does not know this job", 0),
    ],
    ids=["confirmed", "ended", "renamed", "deleted account", "somebody else", "an old job", "a job to come", "gone"],
)
def test_gitlab_is_asked_who_started_a_job(project: SampleProject, job: GitLabJob, told: str, code: int) -> None:
    project.run("lock", "--env", "local", "--reason", "a sale", variables=JOB)
    with gitlab(job) as reader:
        assert told in project.run("audit", "verify", "--gitlab", variables=reader, code=code).stdout


def test_gitlab_is_asked_for_the_commit_and_the_project(project: SampleProject) -> None:
    commit = project.commit()
    project.deploy(variables=JOB)
    with gitlab(GitLabJob(77, ("bob", 7), commit, STARTED)) as reader:
        assert "confirms who started 1 job" in project.run("audit", "verify", "--gitlab", variables=reader).stdout
        other = {**reader, "CI_PROJECT_PATH": "acme/web/other"}
        assert (
            "GitLab does not know acme/web/other"
            in project.run("audit", "verify", "--gitlab", variables=other, code=1).stderr
        )
        wrong = {**reader, "GITLAB_TOKEN": gitlab_api.JOB_TOKEN}
        assert "read_api" in project.run("audit", "verify", "--gitlab", variables=wrong, code=1).stderr
    with gitlab(GitLabJob(77, ("bob", 7), "e" * 40, STARTED)) as reader:
        told = project.run("audit", "verify", "--gitlab", variables=reader, code=1).stdout
        assert f"was of the commit {'e' * 40}, and made a release of {commit}" in told
    with gitlab(GitLabJob(77, ("bob", 7), commit, STARTED), project="acme/shop") as reader:
        told = project.run("audit", "verify", "--gitlab", variables=reader, code=1).stdout
        assert "https://gitlab.example/acme/web/shop/-/jobs/77 is no job of acme/shop" in told
    project.run("down", "--env", "local", "--yes")


@contextmanager
def gitlab(*jobs: GitLabJob, project: str = "acme/web/shop") -> Iterator[dict[str, str]]:
    """Serve GitLab with jobs, and give the variables by which it is asked."""
    emulator = GitLabEmulator(project, jobs=list(jobs))
    with ThreadedServer(emulator.app) as server:
        api = {"CI_API_V4_URL": f"{server.url}/api/v4", "GITLAB_TOKEN": gitlab_api.TOKEN}
        yield {**api, "CI_PROJECT_PATH": project}


def test_the_report_says_what_it_does_not_prove(project: SampleProject) -> None:
    project.run("lock", "--env", "local", "--reason", "a | sale <b>")
    told = project.run("audit", "export", "--report").stdout
    assert "## What this report does not prove" in told
    assert "a \\| sale \\<b\\>" in told
    assert "CC8.1" in told
    document = json.loads(project.run("audit", "export", "--report", "--json").stdout)
    assert [act["what"] for act in document["other_acts"]] == ["lock"]
    assert "intact" in document["integrity"][0]
    assert document["limitations"]


def _names(group: click.Group, path: str = "") -> set[str]:
    found = set[str]()
    for name, command in group.commands.items():
        found |= _names(command, f"{path}{name} ") if isinstance(command, click.Group) else {f"{path}{name}"}
        found |= {f"{path}{name}"} if isinstance(command, click.Group) and command.invoke_without_command else set()
    return found


CHANGING = {
    "init", "deploy", "promote", "approve", "reject", "rollback", "confirm", "resume", "cancel", "lock", "unlock", "down", "demo", "state move", "db backup", "db drop",
    "db verify", "db baseline", "db restore", "db migrate", "db rehearse", "db drill", "notify test",
    "notify send", "maintenance on", "maintenance off",
}  # fmt: skip
"""What people alone may do."""


def test_it_is_decided_for_each_command_whether_an_agent_may_give_it() -> None:
    assert _names(commands) == (OPEN_TO_AGENTS - {"abreast"}) | CHANGING
    assert not OPEN_TO_AGENTS & CHANGING
    assert all(isinstance(command, LazyCommand | click.Group) for command in commands.commands.values())


@pytest.mark.parametrize(
    "arguments",
    [["doctor", "--github", "--fix"], ["audit", "export", "--checkpoint", "x"], ["deploy", "--yes"], ["init", "--yes"]],
    ids=" ".join,
)
def test_an_agent_changes_nothing(project: SampleProject, arguments: list[str]) -> None:
    agent = {"ABREAST_AGENT": "robot"}
    assert "robot is an agent" in project.run(*arguments, code=3, variables=agent).stderr
    project.run("status", variables=agent)
    project.run("plan", variables=agent)
    project.run("audit", "export", variables=agent)
