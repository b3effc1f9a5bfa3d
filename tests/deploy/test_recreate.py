"""``strategy: recreate``: the previous version stops before the new one starts, wherever the deployment is killed.

Each program takes an exclusive lock, and notes ``refused`` if another one has it.
"""

import itertools
import re
import signal
import sys
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fork_server
from abreast.testing.process_tree import kill_at_once, processes_of
from crash_relay import latest_deployment
from sample_project import (
    APP_SOURCE,
    HEALTHY,
    NEVER_HEALTHY,
    SampleProject,
    eventually,
    get_json,
    wait_for_exit,
)

ALONE = """
import fcntl, os, pathlib, signal, sys, time
data, release = pathlib.Path(os.environ["ABREAST_DATA"]), os.environ["ABREAST_RELEASE"]
def note(text):
    with (data / "log").open("a") as log:
        log.write(release + " " + text + "\\n")
lock = (data / "lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("refused")
    sys.exit("another one has the lock")
note("start " + os.environ.get("MARK", "") + os.environ.get("TOKEN", ""))
"""
ALONE_IN_ITS_RELEASE = ALONE.replace('(data / "lock")', '(data / (release + ".lock"))').replace(
    "    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
    "    fcntl.flock(lock, fcntl.LOCK_SH)\n"
    '    for other in set(data.glob("*.lock")) - {data / (release + ".lock")}:\n'
    "        fcntl.flock(other.open(), fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
)
"""For several instances: those of one release may run beside each other, those of two may not."""

FOREVER = "while True:\n    time.sleep(0.02)\n"
SLOW_TO_STOP = "signal.signal(signal.SIGTERM, lambda *_: (note('stopping'), time.sleep(2), sys.exit(0)))\n"
CRASHES = "sys.exit('no broker')\n"
SERVICES = ("backend", "jobs", "report")
FIRST_BEFORE_THE_TURN = 19
"""A write of a deployment of two of them and the frontend: before it, nothing of the previous version has stopped."""


class Alone:
    """The sample project with a web service, a worker and a scheduled command that cannot run twice."""

    def __init__(self, project: SampleProject) -> None:
        self.project = project
        self.data = project.folder / ".abreast" / "local" / "local" / "data"
        run = f"exec {sys.executable} -S"
        services, local = project.config["services"], project.config["environments"]["local"]
        services["jobs"] = {"type": "worker", "run": f"{run} worker.py", "instances": 1, "health": {"hold": "200ms"}}
        services["report"] = {"schedule": "* * * * * *", "run": f"{run} report.py"}
        services["backend"]["health"] |= {"hold": "100ms", "start": "5s"}
        local["strategy"] = "recreate"
        self.commit()

    def commit(self, worker: str = FOREVER, health: str = HEALTHY, alone: str = ALONE) -> str:
        app = alone + APP_SOURCE.replace(HEALTHY, health)
        return self.project.commit(app_py=app, worker_py=alone + worker, report_py=alone + "time.sleep(0.3)\n")

    def log(self, service: str) -> list[str]:
        """Return what the programs of a service noted, each with its release: ``v1 start``."""
        file = self.data / service / "log"
        return file.read_text().splitlines() if file.exists() else []

    def nothing_ran_twice(self) -> bool:
        return not [line for name in SERVICES for line in self.log(name) if "refused" in line]

    def running(self) -> list[Counter[str]]:
        """Return how many processes of the backend's and of the worker's own program run, by release."""
        found: dict[str, Counter[str]] = {f"{self.data / name}": Counter() for name in ("backend", "jobs")}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if not (process / "cmdline").read_bytes().endswith((b"app.py\0", b"worker.py\0")):
                    continue
                lines = (process / "environ").read_bytes().decode().split("\0")
            except OSError:
                continue
            variables = dict(line.split("=", 1) for line in lines if "=" in line)
            if (data := variables.get("ABREAST_DATA", "")) in found:
                found[data][variables["ABREAST_RELEASE"]] += 1
        return [*found.values()]

    def one_runs(self, release: str) -> bool:
        """Whether one of each runs, of this release, and nobody was ever refused."""
        return self.nothing_ran_twice() and self.running() == [{release: 1}] * 2

    def none_runs_twice(self) -> bool:
        """Whether at most one of each runs, and nobody was ever refused."""
        return self.nothing_ran_twice() and all(found.total() <= 1 for found in self.running())


@pytest.fixture
def alone(project: SampleProject) -> Alone:
    return Alone(project)


def test_the_previous_version_stops_before_the_new_one_starts(alone: Alone) -> None:
    alone.project.deploy()
    commit = alone.commit(SLOW_TO_STOP + FOREVER)
    plan = alone.project.run("plan").stdout
    assert plan.count("strategy: recreate") == len(SERVICES), "not the folder, of which nothing runs"
    assert "in the turn the previous version stops, and users get an error until this one answers" in plan
    assert "in the turn the previous version stops, and nothing works until this one has started" in plan
    assert "+2 backend: recreate has no candidate without users" in plan
    alone.project.deploy()
    assert alone.project.served_commits() == {"frontend": commit, "backend": commit}
    assert alone.project.status()["services"]["jobs"]["health"] == "healthy"
    alone.commit()
    alone.project.deploy()
    assert alone.one_runs("v3")
    assert [line for line in alone.log("jobs") if "stopping" in line] == ["v2 stopping"]
    eventually(lambda: "v3 start " in alone.log("report"))
    assert alone.nothing_ran_twice()
    alone.project.run("rollback", "--yes", "--reason", "test")
    assert alone.one_runs("v2")


def test_without_it_the_second_one_fails(alone: Alone) -> None:
    del alone.project.config["environments"]["local"]["strategy"]
    alone.project.config["services"]["jobs"]["strategy"] = "blue-green"
    alone.commit()
    alone.project.deploy()
    alone.commit()
    assert "strategy" not in alone.project.run("plan").stdout
    alone.project.deploy(code=1)
    assert "v2 refused" in alone.log("jobs") + alone.log("backend")


def test_users_get_an_error_until_the_new_one_answers_and_nothing_else(alone: Alone) -> None:
    alone.project.deploy()
    alone.commit()
    with users(alone.project.backend_port) as answers:
        alone.project.deploy()
        eventually(lambda: answers[-1] == 200)
    assert set(answers) == {200, 503}
    changes = [one for one, _ in itertools.groupby(answers)]
    assert changes == [200, 503, 200]


def test_a_bad_version_stops_before_the_previous_one_starts_again_with_its_own_variables(alone: Alone) -> None:
    variables = {"TOKEN": "secret-of-all"}
    service = alone.project.config["services"]["jobs"]
    service["env"] = {"MARK": "old", "TOKEN": "${TOKEN}"}
    good = alone.commit()
    alone.project.deploy(variables=variables)
    service["env"]["MARK"] = "new"
    alone.project.config["environments"]["local"]["settle"] = "4s"
    ways = {"worker": CRASHES}, {"health": NEVER_HEALTHY}, {"worker": "time.sleep(1.5)\n" + CRASHES}
    for release, broken in enumerate(ways, 2):
        known = len(alone.log("jobs"))
        alone.commit(**broken)
        alone.project.deploy(code=1, variables=variables)
        assert alone.one_runs("v1")
        started = [line for line in alone.log("jobs")[known:] if " start " in line]
        assert started[0] == f"v{release} start newsecret-of-all"
        assert started[-1] == "v1 start oldsecret-of-all"
        assert alone.project.served_commits() == {"frontend": good, "backend": good}
        assert latest_deployment(alone.project.folder).state == "turned-back"
    alone.commit()
    alone.project.deploy(variables=variables)
    assert alone.one_runs("v5")


def test_a_previous_version_that_does_not_come_back_needs_a_person(alone: Alone) -> None:
    alone.commit("if (data / 'broken').exists():\n    sys.exit('broken')\n" + FOREVER)
    alone.project.config["services"]["jobs"]["health"]["start"] = "2s"
    alone.commit("if (data / 'broken').exists():\n    sys.exit('broken')\n" + FOREVER)
    alone.project.deploy()
    alone.commit("(data / 'broken').touch()\n" + CRASHES)
    told = alone.project.deploy(code=4)
    assert "FAILED the previous version was started again, but" in told.stdout + told.stderr
    (alone.data / "jobs" / "broken").unlink()
    alone.project.run("resume", code=1)
    assert alone.project.latest_deployment()["state"] == "turned-back"
    assert alone.one_runs("v1")


def test_all_instances_stop_before_any_starts(alone: Alone) -> None:
    for name in ("backend", "jobs"):
        alone.project.config["services"][name]["instances"] = 2
    for number in (1, 2):
        commit = alone.commit(alone=ALONE_IN_ITS_RELEASE)
        alone.project.deploy()
        assert alone.project.served_commits()["backend"] == commit
        assert alone.running() == [{f"v{number}": 2}] * 2
    assert alone.nothing_ran_twice()


def test_the_strategy_changes_from_one_release_to_the_next(alone: Alone) -> None:
    """What is live, or comes, by ``recreate`` runs beside no other version, and so in the turn-back."""
    local = alone.project.config["environments"]["local"]
    local["strategy"] = "blue-green"
    alone.commit()
    alone.project.deploy()
    local["strategy"] = "recreate"
    alone.commit(CRASHES)
    alone.project.deploy(code=1)
    assert alone.one_runs("v1"), "it started again by the way it came: in the turn"
    changed = alone.project.commit()
    assert "its definition in abreast.yml changed: strategy" in alone.project.run("plan").stdout
    alone.project.git("reset", "-q", "--hard", changed)
    alone.commit()
    alone.project.deploy()
    local["strategy"] = "blue-green"
    alone.commit()
    plan = alone.project.run("plan").stdout
    assert "v3, which is live, is deployed by recreate: it runs beside no other version" in plan
    alone.project.deploy()
    assert alone.one_runs("v4")
    alone.project.run("rollback", "--yes", "--reason", "test")
    assert alone.one_runs("v3")


@pytest.mark.timeout(280)
def test_killed_at_any_write_the_next_command_leads_to_one_running_version(alone: Alone) -> None:
    """Each write is met once: before or after it, and then by each of two commands, in turn."""
    ways = itertools.product(("before", "after"), (("deploy", "--yes"), ("cancel",)))
    del alone.project.config["services"]["report"]
    alone.commit()
    alone.project.deploy()
    writes = alone.project.folder.parent / "all-writes"
    kills: list[str] = []
    for number, (moment, command) in zip(itertools.count(FIRST_BEFORE_THE_TURN), itertools.cycle(ways), strict=False):
        writes.unlink(missing_ok=True)
        alone.commit(worker=f"release_number = {number}\n{FOREVER}")
        if _deploy_until(alone, writes, moment, number) != -signal.SIGKILL:
            break
        kills.append(writes.read_text().splitlines()[-1])
        assert alone.none_runs_twice()
        alone.project.run(*command, code=None)
        live = {name: found["release"] for name, found in alone.project.status()["services"].items()}
        assert alone.one_runs(live["jobs"]), kills
    assert "turn" not in kills[0]
    assert any("turn" in name for name in kills)


def _deploy_until(alone: Alone, writes: Path, moment: str, number: int) -> int:
    killed_at = (str(writes), moment, number)
    return fork_server.run_command(alone.project.folder, "deploy", "--yes", killed_at=killed_at).returncode


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("worker", "moment", "ends", "writes"),
    [
        (FOREVER, "after", "succeeded", {"turn/started", "live #", "step turn", "turn/ended", "settle/started"}),
        (CRASHES, "before", "turned-back",
         {"turn-back/frontend+backend+jobs/started", "step turn-back/frontend+backend+jobs"}),
    ],
)  # fmt: skip
def test_killed_at_every_write_in_turn_it_ends_with_one_running_version(
    alone: Alone, worker: str, moment: str, ends: str, writes: set[str]
) -> None:
    del alone.project.config["services"]["report"]
    alone.commit()
    alone.project.deploy()
    alone.commit(worker)
    for _ in fork_server.run_crash_relay(alone.project.folder, "deploy", "--yes", moment=moment):
        assert alone.none_runs_twice()
        if ends == latest_deployment(alone.project.folder).state == "turned-back":
            break
    killed_at = fork_server.relay_writes(alone.project.folder)
    assert any(name.endswith(" has stopped") for name in killed_at), "between the end of one and the start of the other"
    assert writes <= set(killed_at)
    live = alone.project.status()["services"]["jobs"]["release"]
    assert (live == "v1") is (ends == "turned-back")
    assert alone.one_runs(live)


def test_killed_while_the_previous_version_stops_it_is_taken_back(alone: Alone) -> None:
    alone.commit(SLOW_TO_STOP + FOREVER)
    alone.project.deploy()
    alone.commit()
    begun = alone.project.start("deploy", "--yes")
    eventually(lambda: "v1 stopping" in alone.log("jobs"))
    begun.kill()
    alone.project.run("cancel")
    assert alone.one_runs("v1")


def test_a_worker_finishes_its_job_before_the_new_one_starts(alone: Alone) -> None:
    alone.project.config["environments"]["local"]["drain"] = "20s"
    alone.commit(SLOW_TO_STOP.replace("time.sleep(2)", "time.sleep(12), note('done')") + FOREVER)  # beyond any grace
    alone.project.deploy()
    alone.commit()
    alone.project.deploy()
    assert [line.strip() for line in alone.log("jobs")] == ["v1 start", "v1 stopping", "v1 done", "v2 start"]
    assert alone.one_runs("v2")


def test_the_supervisor_and_its_watchdog_die_while_the_previous_version_stops(alone: Alone) -> None:
    alone.commit(SLOW_TO_STOP + FOREVER)
    alone.project.deploy()
    alone.commit()
    begun = alone.project.start("deploy", "--yes")
    eventually(lambda: "v1 stopping" in alone.log("jobs"))
    supervisors = [pid for pid, command in processes_of(alone.project.folder) if "supervisor." in command]
    kill_at_once(supervisors)
    assert alone.one_runs("v1" if wait_for_exit(begun) else "v2")


def test_it_is_refused_where_the_platform_does_not_have_it(project: SampleProject) -> None:
    variables = {"HOOK": "http://127.0.0.1:1/"}
    local = project.config["environments"]["local"]
    local["strategy"] = "recreate"
    local["backend"] = {"render": {"hook": "HOOK", "url": "http://127.0.0.1:1"}}
    project.commit()
    told = project.run("plan", code=2, variables=variables).stderr
    why = "backend has `strategy: recreate`, and render replaces versions in a way of its own for it"
    assert why in told
    assert "needed: backend without it in this environment" in told
    assert why in project.run("doctor", code=1, variables=variables).stdout
    refused = project.run("config", code=2, variables=variables).stderr
    assert why in refused, "without asking a platform"
    assert "environments.local.strategy" in refused
    local["backend"]["strategy"] = "blue-green"
    project.commit()
    assert "strategy" not in project.run("plan", variables=variables).stdout


def test_people_who_approve_are_told_what_users_get_and_of_the_way_back(alone: Alone) -> None:
    alone.project.deploy()
    alone.project.config["environments"]["local"]["approval"] = {"by": ["ada"]}
    alone.commit()
    alone.project.deploy()
    told = alone.project.run("show").stdout
    assert re.search(r"jobs: deploy on local, v1 is live: .*; strategy: recreate", told)
    assert re.search(r"jobs: back to v1, artifact \S+, which starts when this one has stopped", told)


@contextmanager
def users(port: int) -> Iterator[list[int]]:
    """Yield the statuses that somebody gets who asks again and again."""
    answers: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                get_json(port)
                answers.append(200)
            except urllib.error.HTTPError as error:
                answers.append(error.code)
            except OSError:
                answers.append(0)
            time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: len(answers) > 3)
    try:
        yield answers
    finally:
        ended.set()
        asking.join()
