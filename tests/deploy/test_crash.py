"""Killed anywhere, a deployment goes on: all services new, or all as they were, and nothing done twice.

One deployment is killed at every write in turn, each time the process that went on from the kill before. Or that process
goes on for two writes: two deployments, one after the other, are together killed at every write. One way they die before
the write, the other way after it.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest

import fork_server
from abreast.ledger.sqlite import SqliteLedger
from crash_relay import latest_deployment
from sample_project import UNHEALTHY_AFTER_REQUESTS, SampleProject, get_json

DEPLOY = ("deploy", "--yes")
FIRST_WITH_USERS = 22
"""The first write after the turn has begun; before it, a failure is the same as in the test above."""

CHAPTERS = {"part", "live", "build", "stage", "check", "turn", "watch", "settle"}
"""What a deployment writes of, by the beginning or the second part of what a write is called."""


@pytest.mark.smoke
@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("every", "moment"),
    [(1, "after"), pytest.param(2, "before", marks=pytest.mark.exhaustive)],
)
def test_one_deployment_killed_at_every_write_in_turn_goes_on(project: SampleProject, every: int, moment: str) -> None:
    if moment == "after":
        _one_behind_another(project)
    project.deploy()
    for first in range(1, every + 1):
        _kill_in_turn(project, first, every, moment)


def _kill_in_turn(project: SampleProject, first: int, every: int, moment: str) -> None:
    old, commit = project.served_commits(), project.commit()
    new = dict.fromkeys(old, commit)
    builds: dict[str, int] = {}
    codes: list[int] = []
    relay = fork_server.run_crash_relay(project.folder, *DEPLOY, moment=moment, first=first, every=every)
    for code in relay:
        codes.append(code)
        assert project.served_commits() in (old, new)
        for name in _built(project, commit) - set(builds):
            builds[name] = project.built_services(commit).count(name)
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert codes[-1] == 0
    assert project.served_commits() == new != old
    assert len(fork_server.relay_writes(project.folder)) > 20
    assert {part for name in fork_server.relay_writes(project.folder) for part in re.split("[ /]", name)} >= CHAPTERS
    assert Counter(project.built_services(commit)) == builds, "what was recorded as built was built again"
    _nothing_left(project)
    fork_server.forget_relay(project.folder)


def _one_behind_another(project: SampleProject) -> None:
    """Let one service wait for the other, both behind a gate."""
    project.config["services"]["frontend"]["needs"] = ["backend"]
    project.config["gates"] = {"lint": "true"}
    project.commit()


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("every", "moment"),
    [(1, "before"), (2, "after")],
)
def test_one_turn_back_killed_at_every_write_in_turn_goes_on_back(
    project: SampleProject, every: int, moment: str
) -> None:
    good = project.commit()
    project.deploy()
    project.config["environments"]["local"]["settle"] = "20s"
    for first in range(1, every + 1):
        _kill_in_turn_back(project, good, first, every, moment)


def _kill_in_turn_back(project: SampleProject, good: str, first: int, every: int, moment: str) -> None:
    project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    served: list[dict[str, str]] = []
    with _Users(project):
        assert crash(project, FIRST_WITH_USERS, "before") == -signal.SIGKILL
        relay = fork_server.run_crash_relay(project.folder, *DEPLOY, moment=moment, first=first, every=every)
        for _ in relay:
            served.append(project.served_commits())
            if latest_deployment(project.folder).finished is not None:
                break
    assert project.latest_deployment()["state"] == "turned-back"
    assert {"turn-back", "settle"} <= {name.split("/")[0] for name in fork_server.relay_writes(project.folder)}
    back = dict.fromkeys(("frontend", "backend"), good)
    assert served[-1] == back
    turns = sum(one != other for one, other in itertools.pairwise([back, *served]))
    assert turns == 2 or (turns < 2 and every > 1), served
    fork_server.forget_relay(project.folder)


def test_deploy_again_finishes_what_was_cut_off(project: SampleProject) -> None:
    project.deploy()
    commit = project.commit()
    assert crash(project, 15, "after") == -signal.SIGKILL
    interrupted = json.loads(project.run("status", "--json").stdout)["environments"]["local"]["deployment"]
    assert interrupted["interrupted"] is True
    again = project.deploy()
    assert "finishing it first" in again.stdout
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert project.latest_deployment()["id"] == interrupted["id"]


def test_one_that_was_cut_off_with_users_on_it_is_finished_though_nothing_has_changed(project: SampleProject) -> None:
    project.deploy()
    commit = project.commit()
    assert crash(project, FIRST_WITH_USERS + 2, "after") == -signal.SIGKILL
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert project.latest_deployment()["state"] == "running"
    again = project.deploy()
    assert "finishing it first" in again.stdout
    assert "nothing to do" in again.stdout
    assert project.latest_deployment()["state"] == "succeeded"


def test_cancel_of_one_that_was_cut_off_turns_it_back(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    project.commit()
    assert crash(project, 23, "after") == -signal.SIGKILL
    project.run("cancel", "--reason", "no")
    assert project.latest_deployment()["state"] == "cancelled"
    assert project.served_commits() == {"frontend": first, "backend": first}


def crash(project: SampleProject, number: int, moment: str) -> int:
    return fork_server.run_command(project.folder, *DEPLOY, killed_at=(None, moment, number)).returncode


class _Users:
    """Somebody uses the backend, so that a version that fails with users does."""

    def __init__(self, project: SampleProject) -> None:
        code = (
            "import time, urllib.request\n"
            "while True:\n"
            f"    try: urllib.request.urlopen('http://127.0.0.1:{project.backend_port}/', timeout=5).read()\n"
            "    except OSError: pass\n"
            "    time.sleep(0.02)\n"
        )
        self._process = subprocess.Popen([sys.executable, "-c", code])

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def _built(project: SampleProject, commit: str) -> set[str]:
    """Return the services whose build of a commit was recorded as done when the process was killed."""
    with SqliteLedger.open(project.folder / ".abreast") as ledger:
        latest = ledger.deployments(limit=1)[0]
        return {name for name, part in ledger.release(latest.release).parts.items() if part.commit == commit}


def _nothing_left(project: SampleProject) -> None:
    with SqliteLedger.open(project.folder / ".abreast") as ledger:
        assert ledger.find_damage() == ""
        live = {part.version.id for part in ledger.live_services("local").values()}
    home = project.folder / ".abreast" / "local" / "local"
    running = {record.stem.rpartition("-")[0] for record in (home / "instances").glob("backend-*.json")}
    assert running == {version for version in live if version.startswith("backend")}
    assert {folder.name for folder in (home / "versions").iterdir()} == live
    work = project.folder / ".abreast" / "work"
    assert not work.exists() or not any(os.scandir(work)), "a checkout was left behind"
    assert get_json(project.backend_port)
