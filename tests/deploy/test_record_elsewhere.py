"""A record in a git ref of a slow remote: how often a deployment converses with it, and what each conversation carries."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from abreast.core.errors import StateError
from abreast.core.events import Event, EventKind
from abreast.core.model import LiveService, Service, Version
from abreast.core.plan import Action, DeploymentKind, OnFailure, Plan, ServicePlan
from abreast.core.states import DeploymentState
from abreast.deploy.refusals import is_settled
from abreast.ledger.lease import LeasedLock
from abreast.ledger.mirror import Mirror
from abreast.ledger.sqlite import SqliteLedger
from sample_project import SampleProject
from state_worlds import World, git

GIT = {"ABREAST_STATE": "git"}
WHO = {"since": "2026-11-21T01:02:03Z"}
LEDGER = "refs/abreast/shop/ledger"
SSH = """#!/bin/sh
echo "$2" >> {log}
shift
exec sh -c "$*"
"""
"""Stands for ssh: reaches a repository of this machine, and lists each conversation."""


class Remote:
    """The remote of a project, which is reached by a program that lists conversations."""

    def __init__(self, project: SampleProject, folder: Path) -> None:
        self._log, self.folder = folder / "conversations", folder / "remote.git"
        ssh = folder / "ssh"
        ssh.write_text(SSH.format(log=self._log))
        ssh.chmod(0o755)
        git(folder, "init", "--quiet", "--bare", str(self.folder))
        project.git("remote", "add", "origin", f"ssh://here{self.folder}")
        project.git("config", "core.sshCommand", str(ssh))
        project.git("config", "ssh.variant", "simple")
        self.project = project

    def conversations(self, *arguments: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
        """Run a command, and return what it asked the remote for: ``upload-pack`` reads, ``receive-pack`` writes."""
        self._log.write_text("")
        done = self.project.run(*arguments, variables=GIT)
        return [line.split()[0].removeprefix("git-") for line in self._log.read_text().splitlines()], done

    def refs(self) -> str:
        return git(self.folder, "for-each-ref")

    def commits(self) -> list[list[tuple[str, str]]]:
        """Return the kind and key of the entries of each push, oldest first."""
        commits = git(self.folder, "rev-list", "--reverse", LEDGER).split()
        texts = [git(self.folder, "cat-file", "blob", f"{commit}:entries.jsonl").splitlines() for commit in commits]
        entries = [[json.loads(json.loads(line)[1]) for line in lines] for lines in texts]
        return [[(entry["kind"], entry["key"]) for entry in pushed] for pushed in entries]


@pytest.fixture
def remote(project: SampleProject, tmp_path: Path) -> Remote:
    return Remote(project, tmp_path)


def test_a_command_with_nothing_to_do_reads_once_and_writes_nothing(project: SampleProject, remote: Remote) -> None:
    project.deploy(variables=GIT)
    before = remote.refs()
    conversations, done = remote.conversations("deploy", "--yes")
    assert "nothing to do" in done.stdout
    assert conversations == ["upload-pack"]
    assert remote.refs() == before
    project.run("lock", "--reason", "a sale", variables=GIT)
    assert "a sale" in project.deploy(code=3, variables=GIT).stderr
    project.run("unlock", variables=GIT)
    remote.folder.rename(remote.folder.with_suffix(".away"))
    assert "an answer of the remote" in project.deploy(code=1, variables=GIT).stderr
    remote.folder.with_suffix(".away").rename(remote.folder)
    project.run("down", "--yes", variables=GIT)


def test_a_deployment_takes_its_environment_and_its_version_in_one_push(project: SampleProject, remote: Remote) -> None:
    project.deploy(variables=GIT)
    project.commit()
    before = len(remote.commits())
    conversations, done = remote.conversations("deploy", "--yes")
    assert "v2" in done.stdout
    assert conversations[0] == "upload-pack"
    pushes = remote.commits()[before:]
    assert pushes[0] == [("lease", "3"), ("release", "v2")]
    assert [entry for pushed in pushes[1:] for entry in pushed if entry[0] == "release"] == []
    assert pushes[-1][-1] == ("lease", "4"), "whoever waits goes on with the last push"
    project.run("down", "--yes", variables=GIT)


Machines = Callable[[str], tuple[SqliteLedger, LeasedLock]]


@pytest.fixture
def machine(tmp_path: Path, open_mirror: Callable[[str], Mirror]) -> Machines:
    """Open a machine's ledger, with its lock of production."""

    def open_machine(name: str) -> tuple[SqliteLedger, LeasedLock]:
        mirror = open_mirror(name)
        mirror.pull()
        return SqliteLedger(mirror), LeasedLock(tmp_path / f"locks-{name}", "production", mirror, 30)

    return open_machine


def plan(*parts: ServicePlan) -> Plan:
    return Plan(
        "D1", DeploymentKind.DEPLOY, "shop", "production", "v1", "c" * 40, parts, 1, 1, OnFailure.TOGETHER, "", "me"
    )


def test_while_others_work_there_it_is_not_known_whether_something_is_to_be_done(machine: Machines) -> None:
    (here, our_lock), (there, their_lock) = machine("here"), machine("there")
    assert is_settled(here, our_lock, plan())
    with their_lock.try_acquire(WHO) as held:
        assert held
        here.file.pull()  # type: ignore[attr-defined]
        assert not is_settled(here, our_lock, plan())
    there.flush(0)
    here.file.pull()  # type: ignore[attr-defined]
    assert is_settled(here, our_lock, plan())


def test_what_is_unfinished_or_no_longer_live_is_to_be_done(machine: Machines) -> None:
    ledger, lock = machine("here")
    version = Version("api-D1", "api", (), "")
    service = Service("api", "local")
    live = LiveService("api", "local", "v1", "c" * 40, "sha256:0", "D1", "t", version, service)
    kept = ServicePlan(service, Action.KEEP, "unchanged", "c" * 40, "sha256:0", live)
    ledger.record_plan(plan())
    ledger.record_live_services("D1", [live])
    assert is_settled(ledger, lock, plan(kept))
    ledger.append_events(Event("D1", "running", EventKind.STATE, state=DeploymentState.RUNNING))
    assert not is_settled(ledger, lock, plan(kept)), "interrupted"
    ledger.append_events(Event("D1", "back", EventKind.STATE, state=DeploymentState.TURNING_BACK))
    ledger.append_events(Event("D1", "ended", EventKind.STATE, state=DeploymentState.TURNED_BACK))
    assert is_settled(ledger, lock, plan(kept))
    ledger.record_live_services("D1", [], removed=["api"])
    assert not is_settled(ledger, lock, plan(kept)), "turned back since it was planned"


def test_without_an_answer_of_the_home_nothing_is_said_to_be_done(state_world: World, machine: Machines) -> None:
    ledger, lock = machine("here")
    ledger.file._pulled = float("-inf")  # type: ignore[attr-defined]
    state_world.away()
    try:
        with pytest.raises(StateError):
            is_settled(ledger, lock, plan())
    finally:
        state_world.back()
