"""Proposals: an agent makes a plan with a hash, and a person approves it. Real deployments, by the command line."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fork_server import run_command
from sample_project import SampleProject, free_ports, get_json, wait_for_exit
from state_worlds import GitWorld, git

GIT = {"ABREAST_STATE": "git"}
AGENT = {"ABREAST_AGENT": "robot 1.2"}


def propose(project: SampleProject, *options: str, code: int = 0, what: str = "deploy") -> dict[str, Any]:
    """Propose as an agent, and return the document."""
    done = project.run("propose", what, *options, "--reason", "orders fail", "--json", variables=AGENT, code=code)
    return dict(json.loads(done.stdout)["error" if code else "proposal"])


def acts(project: SampleProject) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.run("audit", "export").stdout.splitlines()]


def waiting(project: SampleProject, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.run("proposals", "--json", *options).stdout)
    return found


def change_proposals(project: SampleProject, expression: str) -> None:
    """Change what is recorded of proposals, as no command does."""
    with closing(sqlite3.connect(project.folder / ".abreast" / "ledger.db")) as database:
        database.execute("DROP TRIGGER entries_stay")
        database.execute(f"UPDATE entries SET entry = {expression} WHERE kind = 'proposal'")
        database.commit()


def test_a_person_approves_what_an_agent_proposed(project: SampleProject) -> None:
    commit = project.commit()
    made = propose(project)
    assert (len(made["hash"]), made["digest"][:12]) == (12, made["hash"])
    assert made["summary"] == f"deploy {commit[:7]} to local: frontend, backend"
    assert made["by"].startswith("robot 1.2, an agent, for ")
    assert made["plan"]["services"]["backend"]["action"] == "deploy"
    assert propose(project)["at"] == made["at"], "the same plan is the same proposal"
    assert [each["hash"] for each in waiting(project)] == [made["hash"]]
    assert json.loads(project.run("history", "--json").stdout) == [], "nothing was planned, nothing was locked"
    shown = project.run("approve", made["hash"], "--yes").stdout
    for text in ("robot 1.2, an agent, for", "why: orders fail", "+ backend", "v1 is live in local"):
        assert text in shown
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert waiting(project) == []
    (told,) = waiting(project, "--all")
    assert (told["state"], told["deployment"]) == ("approved", project.latest_deployment()["id"])
    found = {act["what"]: act for act in acts(project)}
    assert (found["propose"]["agent"], found["propose"]["why"]) == ("robot 1.2", "orders fail")
    assert found["approve-proposal"]["agent"] == ""
    assert f"proposed by {made['by']} ({made['hash']})" in found["deploy"]["detail"]
    assert "was approved by" in project.run("approve", made["hash"], "--yes", code=3).stderr
    assert "intact" in project.run("audit", "verify").stdout
    assert propose(project, code=3)["what"] == "nothing to propose: everything is up to date"


def test_another_plan_is_refused_with_what_changed(project: SampleProject) -> None:
    project.deploy()
    before = project.commit(app_py=project.app_source("    return 200, {'new': True}\n"))
    made = propose(project, "--service", "backend")
    after = project.commit()
    refused = project.run("approve", made["hash"], "--yes", code=3)
    assert f"the plan changed since it was proposed:\n  commit: {before} → {after}" in refused.stderr
    assert "abreast deploy --env local --service backend --reason" in refused.stderr
    assert "backend" in refused.stdout, "the plan as it is now is shown"
    assert project.served_commits()["backend"] != after
    project.git("reset", "-q", "--hard", before)
    project.run("approve", made["hash"][:8], "--yes")
    assert project.served_commits()["backend"] == before


def test_a_rollback_is_proposed_and_rejected(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    second = project.commit(app_py=project.app_source("    return 200, {'new': True}\n"))
    project.deploy()
    made = propose(project, what="rollback")
    assert made["summary"].startswith("roll back to v1 to local")
    project.run("reject", made["hash"], code=2)
    project.run("reject", made["hash"], "--reason", "wait for the night")
    assert "was rejected by" in project.run("approve", made["hash"], "--yes", code=3).stderr
    assert "was rejected by" in project.run("reject", made["hash"], "--reason", "again", code=3).stderr
    assert project.served_commits()["backend"] == second
    again = propose(project, what="rollback")
    assert (again["hash"], again["state"]) == (made["hash"], "open")
    project.run("approve", again["hash"], "--yes")
    assert project.served_commits()["backend"] == first
    assert project.latest_deployment()["kind"] == "rollback"


def test_a_promotion_is_proposed(project: SampleProject) -> None:
    staging = project.config["environments"].pop("local")
    ports = dict(zip(("frontend", "backend"), free_ports(2), strict=True))
    production = {name: {"local": {"port": port}} for name, port in ports.items()}
    project.config["environments"] = {
        "staging": staging,
        "production": {"settle": "300ms", "promotion": {"source": "staging"}, **production},
    }
    commit = project.commit()
    assert "nothing is live in staging" in propose(project, "--to", "production", what="promote", code=2)["what"]
    project.deploy("--env", "staging")
    refused = propose(project, "--env", "production", code=3)
    assert refused["next"] == "abreast promote --to production"
    made = propose(project, "--to", "production", what="promote")
    assert made["summary"] == "deploy v1 to production: frontend, backend"
    assert made["command"] == "abreast promote --to production"
    project.commit()
    project.run("approve", made["hash"], "--yes")
    assert get_json(ports["backend"])["commit"] == commit, "what staging has tried, not what is here now"
    for environment in ("staging", "production"):
        project.run("down", "--env", environment, "--yes")


def test_an_agent_decides_nothing_and_overrides_nothing(project: SampleProject) -> None:
    made = propose(project)
    for command in (["approve", made["hash"], "--yes"], ["reject", made["hash"], "--reason", "x"]):
        assert "is an agent" in project.run(*command, variables=AGENT, code=3).stderr
    for option in ("--skip-gate=tests", "--allow-older", "--yes"):
        assert "No such option" in project.run("propose", "deploy", option, "--reason", "x", code=2).stderr
    for option in ("--emergency", "--restore-data"):
        assert "No such option" in project.run("propose", "rollback", option, "--reason", "x", code=2).stderr
    project.run("propose", "deploy", code=2, variables=AGENT)
    assert "no reason" in project.run("propose", "deploy", "--reason", " ", code=2, variables=AGENT).stderr
    project.run("lock", "--env", "local", "--reason", "a sale")
    assert "is locked by" in propose(project, code=3)["what"]
    assert "is locked by" in project.run("approve", made["hash"], "--yes", code=3).stderr
    assert [each["state"] for each in waiting(project)] == ["open"]


def test_one_that_expired_or_never_was(project: SampleProject) -> None:
    made = propose(project)
    assert "no proposal 0123456789ab" in project.run("approve", "0123456789ab", code=2).stderr
    change_proposals(project, 'replace(entry, \'"expires": "20\', \'"expires": "19\')')
    assert "expired at 19" in project.run("approve", made["hash"], "--yes", code=3).stderr
    assert waiting(project) == []
    assert waiting(project, "--all")[0]["state"] == "expired"
    assert propose(project)["state"] == "open", "it can be proposed again"


def test_two_people_at_the_same_moment(project: SampleProject) -> None:
    commit = project.commit()
    made = propose(project)
    begun = [project.start("approve", made["hash"], "--yes") for _ in range(2)]
    codes = sorted(map(wait_for_exit, begun))
    assert codes == [0, 3], "one of them, and a word for the other"
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert len(json.loads(project.run("history", "--json").stdout)) == 1


def test_a_proposal_is_no_approval_by_somebody_else(project: SampleProject) -> None:
    run = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "octo/shop", "GITHUB_TOKEN": "",
           "ABREAST_STATE": ".abreast"}  # fmt: skip
    project.config["environments"]["local"]["approval"] = {"by": ["ada", "bob", "eve"], "required": 1}
    project.commit()
    of_bob = {**run, "GITHUB_ACTOR": "bob", **AGENT}
    made = json.loads(project.run("propose", "deploy", "--reason", "r", "--json", variables=of_bob).stdout)["proposal"]
    project.run("approve", made["hash"], "--yes", variables={**run, "GITHUB_ACTOR": "ada"})
    waits = project.latest_deployment()
    assert waits["state"] == "approving"
    for author in ("ada", "bob"):
        assert "author" in project.run("approve", waits["id"], variables={**run, "GITHUB_ACTOR": author}, code=3).stderr
    other = json.loads(project.run("propose", "deploy", "--reason", "r", "--json", variables=of_bob).stdout)["proposal"]
    assert project.latest_deployment()["state"] == "approving", "a proposal takes nobody's place"
    assert other["hash"] == made["hash"]
    project.run("approve", waits["id"], variables={**run, "GITHUB_ACTOR": "eve"})
    project.run("resume", waits["id"])
    assert project.latest_deployment()["state"] == "succeeded"


@pytest.mark.parametrize("state", ["none", "deployed"])
def test_status_mentions_open_proposals(project: SampleProject, state: str) -> None:
    if state == "deployed":
        project.deploy()
        project.commit(app_py=project.app_source("    return 200, {'new': True}\n"))
    made = propose(project)
    line = f"proposal {made['hash']} to local"
    for command in (["status"], []):
        assert line in project.run(*command).stdout
    (told,) = json.loads(project.run("status", "--json").stdout)["proposals"]
    assert (told["hash"], told["environment"], told["by"]) == (made["hash"], "local", made["by"])
    project.run("reject", made["hash"], "--reason", "no")
    assert "proposal" not in project.run("status").stdout
    assert json.loads(project.run("status", "--json").stdout)["proposals"] == []


def test_a_person_approves_on_another_machine(project: SampleProject, tmp_path: Path) -> None:
    """The agent's machine and the person's share the record, and nothing else."""
    world = GitWorld(tmp_path / "world")
    git(project.folder, "remote", "add", "origin", str(world.remote))
    commit = project.commit()
    git(project.folder, "push", "--quiet", "origin", "main")
    git(tmp_path, "clone", "--quiet", "--branch", "main", str(world.remote), "persons")
    person = tmp_path / "persons"
    made = json.loads(project.run("propose", "deploy", "--reason", "r", "--json", variables={**GIT, **AGENT}).stdout)[
        "proposal"
    ]
    try:
        assert made["hash"] in run_command(person, "status", variables=GIT).stdout
        done = run_command(person, "approve", made["hash"], "--yes", variables=GIT)
        assert done.returncode == 0, done.stderr
        assert project.served_commits() == {"frontend": commit, "backend": commit}
        assert "was approved by" in project.run("reject", made["hash"], "--reason", "x", variables=GIT, code=3).stderr
        assert "was approved by" in project.run("approve", made["hash"], "--yes", variables=GIT, code=3).stderr
    finally:
        run_command(person, "down", "--yes", variables=GIT)


def test_approve_without_a_hash_names_what_waits(project: SampleProject) -> None:
    made = propose(project)
    refused = project.run("approve", code=2).stderr
    assert f"its hash: {made['hash']}" in refused
    assert f"its hash: {made['hash']}" in project.run("reject", "--reason", "x", code=2).stderr
    project.run("reject", made["hash"], "--reason", "x")
    assert "nothing has been deployed yet" in project.run("approve", code=2).stderr


def test_what_an_agent_says_does_not_look_like_the_plan(project: SampleProject) -> None:
    forged = {"ABREAST_AGENT": "robot\n  + backend  keep"}
    reason = "fine\n  gates: all passed\nDeploy? [y/N] y"
    said = project.run("propose", "deploy", "--reason", reason, variables=forged).stdout
    (made,) = waiting(project)
    assert (made["reason"], made["by"].partition(",")[0]) == (
        "fine gates: all passed Deploy? [y/N] y",
        "robot + backend keep",
    )
    for shown in (said, project.run("proposals").stdout, project.run("status").stdout):
        assert not [
            line for line in shown.splitlines() if line.startswith(("  gates: all", "Deploy?", "  + backend  keep"))
        ]
    assert "the reason has 1001 characters" in project.run("propose", "deploy", "--reason", "x" * 1001, code=2).stderr
