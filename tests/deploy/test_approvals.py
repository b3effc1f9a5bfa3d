"""A deployment waits for people without a process, and goes on anywhere when enough of them agreed."""

import json
import signal
from pathlib import Path

import pytest

import fork_server
from sample_project import SampleProject, eventually, wait_for_exit

RUN = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_SERVER_URL": "https://github.example",
       "GITHUB_REPOSITORY": "octo/shop", "ABREAST_STATE": ".abreast"}  # fmt: skip


def as_person(login: str) -> dict[str, str]:
    """Return the variables of a run that this person started."""
    return {**RUN, "GITHUB_ACTOR": login, "GITHUB_TOKEN": ""}


@pytest.fixture
def guarded(project: SampleProject) -> SampleProject:
    """Two of ada, grace and linus have to approve. What is live was deployed before that was asked for."""
    project.deploy()
    project.config["groups"] = {"release": ["ada", "grace"]}
    project.config["environments"]["local"]["approval"] = {"by": ["release", "linus"], "required": 2}
    project.commit("Ask people")
    return project


def start(project: SampleProject, login: str = "eve") -> str:
    """Deploy as a person up to the approval, and return the deployment."""
    told = project.deploy(variables=as_person(login)).stdout
    deployment = project.latest_deployment()
    assert deployment["state"] == "approving"
    assert f"next: abreast approve {deployment['id']}" in told
    return str(deployment["id"])


def approve(project: SampleProject, login: str, *arguments: str, code: int | None = 0) -> str:
    done = project.run("approve", *arguments, code=code, variables=as_person(login))
    return done.stdout + done.stderr


@pytest.mark.smoke
def test_nothing_is_staged_before_enough_people_agree(guarded: SampleProject) -> None:
    before, commit = guarded.served_commits(), guarded.git("rev-parse", "HEAD").strip()
    assert "approval: 2 of ada, grace, linus" in guarded.run("plan").stdout
    id_ = start(guarded)
    assert guarded.built_services(commit), "it waits after the builds"
    events = {event["chapter"] for event in guarded.latest_deployment()["events"]}
    assert "stage" not in events
    assert not guarded.status()["deployment"].get("interrupted")
    assert "1 more of ada, grace, linus; approved by ada" in approve(guarded, "ada", id_, "--reason", "fine")
    assert "waits for an approval by 1 more" in guarded.run("resume", id_).stdout
    assert "1 more" in approve(guarded, "ada", id_)
    assert guarded.served_commits() == before
    assert "approved by ada, linus" in approve(guarded, "linus", id_)
    guarded.run("resume", id_)
    assert guarded.served_commits() == dict.fromkeys(before, commit)
    assert len(guarded.built_services(commit)) == 2, "nothing was built again"
    assert "does not wait for an approval: it is succeeded" in approve(guarded, "grace", id_, code=2)


def test_what_ends_without_enough_people_changes_nothing(guarded: SampleProject) -> None:
    before = guarded.served_commits()
    an_author_and_a_stranger_are_refused_and_that_is_recorded(guarded)
    id_ = start_anew(guarded, "Rejected")
    approve(guarded, "ada", id_)
    done = guarded.run("reject", id_, "--reason", "not on a Friday", variables=as_person("linus"))
    assert "linus rejected it: not on a Friday" in done.stdout
    deployment = guarded.latest_deployment()
    assert (deployment["state"], deployment["chapter"]) == ("turned-back", "approval")
    assert guarded.served_commits() == before
    assert "does not wait" in approve(guarded, "grace", id_, code=2)

    id_ = start_anew(guarded, "Cancelled")
    guarded.run("cancel", id_, "--reason", "no")
    assert guarded.latest_deployment()["state"] == "cancelled"
    id_ = start(guarded)
    guarded.run("lock", "--reason", "a demonstration")
    assert "a demonstration" in guarded.run("resume", id_, code=3).stderr
    guarded.run("unlock")
    assert guarded.served_commits() == before

    a_request_expires(guarded)
    guarded.config["gates"] = {"lint": "false"}
    guarded.commit("Gate")
    guarded.deploy(code=3, variables=as_person("eve"))
    deployment = guarded.latest_deployment()
    assert (deployment["state"], deployment["chapter"]) == ("turned-back", "gates")
    assert "approving" not in {event["state"] for event in deployment["events"]}, "a failed gate asks nobody"
    assert guarded.served_commits() == before


def start_anew(project: SampleProject, subject: str) -> str:
    project.commit(subject)
    return start(project)


def an_author_and_a_stranger_are_refused_and_that_is_recorded(guarded: SampleProject) -> None:
    id_ = start(guarded, login="ada")
    assert "ada is an author of this deployment" in approve(guarded, "ada", id_, code=3)
    assert "mallory is not among those who may approve" in approve(guarded, "mallory", id_, code=3)
    shown = guarded.run("show", id_).stdout
    assert "ada approves; it does not count: ada is an author" in shown
    assert "mallory approves; it does not count" in shown
    guarded.git("-c", "user.name=Grace Hopper", "-c", "user.email=1+grace@users.noreply.github.com",
                "commit", "-q", "--allow-empty", "-m", "By somebody else")  # fmt: skip
    guarded.deploy(variables=as_person("eve"))
    assert "grace is an author" in approve(guarded, "grace", code=3)
    planned = guarded.run("plan", variables=as_person("linus")).stdout
    assert "it would wait in vain: 2 of ada, grace, linus have to approve, and only ada can" in planned


def a_request_expires(guarded: SampleProject) -> None:
    guarded.config["environments"]["local"]["approval"]["expires"] = "3s"
    guarded.commit("Soon")
    id_ = start(guarded)
    eventually(lambda: "expired" in guarded.run("resume", id_, code=None).stdout)
    assert "its request expired with 2 of 2 missing" in guarded.run("show", id_).stdout
    assert guarded.latest_deployment()["state"] == "turned-back"
    late = start(guarded)
    eventually(lambda: "cannot be approved any more" in approve(guarded, "ada", late, code=None))


def test_an_approval_holds_for_one_plan(guarded: SampleProject) -> None:
    first = start(guarded)
    approve(guarded, "ada", first)
    assert "goes on with it" in guarded.deploy(variables=as_person("eve")).stdout
    assert guarded.latest_deployment()["id"] == first, "the same plan goes on waiting"
    commit = guarded.commit("Newer")
    second = start(guarded)
    assert second != first
    states = {found["id"]: found["state"] for found in json.loads(guarded.run("history", "--json").stdout)}
    assert states[first] == "superseded"
    assert "does not wait for an approval: it is superseded" in approve(guarded, "linus", first, code=2)
    approve(guarded, "ada", second)
    assert "1 more" in guarded.run("resume", second).stdout or guarded.latest_deployment()["state"] == "approving"
    approve(guarded, "linus", second)
    guarded.deploy(variables=as_person("eve"))  # the next run goes on, too
    assert guarded.served_commits() == dict.fromkeys(guarded.served_commits(), commit)


def test_an_emergency_rollback_waits_for_nobody(guarded: SampleProject) -> None:
    first = guarded.served_commits()
    id_ = start(guarded)
    at_the_same_moment = [guarded.start("approve", id_, variables=as_person(login)) for login in ("ada", "linus")]
    assert [wait_for_exit(one) for one in at_the_same_moment] == [0, 0]
    guarded.run("resume", id_)
    assert guarded.latest_deployment()["state"] == "succeeded"
    assert guarded.served_commits() != first
    guarded.run("rollback", "--yes", "--reason", "broken", variables=as_person("eve"))
    waiting = guarded.latest_deployment()
    assert (waiting["kind"], waiting["state"]) == ("rollback", "approving")
    told = guarded.run("rollback", "--yes", "--emergency", "--reason", "broken", variables=as_person("eve")).stdout
    assert "approval: SKIPPED" in told
    assert guarded.served_commits() == first
    states = {found["id"]: found["state"] for found in json.loads(guarded.run("history", "--json").stdout)}
    assert states[waiting["id"]] == "superseded"
    trail = [json.loads(line) for line in guarded.run("audit", "export").stdout.splitlines()]
    votes = [(act["what"], act["who"], act["who_kind"], act["outcome"]) for act in trail if act["what"] == "approve"]
    assert sorted(votes) == [("approve", login, "github-actions", "done") for login in ("ada", "linus")]
    skips = [(act["detail"], act["who"], act["why"]) for act in trail if act["what"] == "skip-gate"]
    assert skips == [("approval", "eve", "broken")]
    report = guarded.run("audit", "export", "--report").stdout
    assert "1 of 3 changes that went live: approved by somebody who neither began it nor wrote its commits" in report


@pytest.mark.timeout(280)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_write_it_waits_and_goes_on(guarded: SampleProject, moment: str) -> None:
    before, commit = guarded.served_commits(), guarded.git("rev-parse", "HEAD").strip()
    deploy, eve = ("deploy", "--yes"), as_person("eve")
    codes = list(fork_server.run_crash_relay(guarded.folder, *deploy, moment=moment, variables=eve))
    assert (codes[-1], set(codes[:-1])) == (0, {-signal.SIGKILL})
    assert guarded.latest_deployment()["state"] == "approving"
    assert guarded.served_commits() == before
    for login in ("ada", "linus"):
        approve(guarded, login)
    codes = list(fork_server.run_crash_relay(guarded.folder, *deploy, moment=moment, variables=eve))
    assert codes[-1] == 0
    assert guarded.latest_deployment()["state"] == "succeeded"
    assert guarded.served_commits() == dict.fromkeys(before, commit)


def test_another_clone_approves_and_goes_on(guarded: SampleProject, tmp_path: Path) -> None:
    remote = tmp_path / "shop.git"
    guarded.git("clone", "-q", "--bare", str(guarded.folder), str(remote))
    guarded.git("remote", "add", "origin", str(remote))
    in_git = {"ABREAST_STATE": "git"}
    guarded.run("state", "move", "--to", "git", "--yes")
    guarded.run("unlock", variables=in_git)
    guarded.deploy(variables={**as_person("eve"), **in_git})
    other = SampleProject.__new__(SampleProject)
    other.folder, other._started_commands = tmp_path / "clone", []
    guarded.git("clone", "-q", str(remote), str(other.folder))
    for login in ("ada", "linus"):
        other.run("approve", variables={**as_person(login), **in_git})
    assert "approved by ada, linus" in guarded.run("resume", variables=in_git).stdout
    guarded.run("down", "--yes", variables=in_git)
