"""Workers: candidates beside the running one, health by being alive or by a command, jobs that are not cut off."""

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import fork_server
from sample_project import SampleProject, eventually, get_json

WORKER = """
import os, pathlib, signal, time
data = pathlib.Path(os.environ["ABREAST_DATA"])
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
def line(text):
    with (data / "log").open("a") as log:
        log.write(os.environ["ABREAST_RELEASE"] + " " + text + "\\n")
def next_job():
    for job in sorted((data / "queue").glob("*")):
        try:
            return job.rename(data / "taken" / job.name)
        except FileNotFoundError:
            pass
line("start")
while not stopping:
    if job := next_job():
        time.sleep(float(job.read_text()))
        line("done " + job.name)
    time.sleep(0.02)
line("stop")
"""
"""A consumer that takes each job once, as others of its kind do beside it, and ends the one in hand at SIGTERM."""

CRASHES = "import time\ntime.sleep({seconds})\nraise SystemExit('no broker')\n"


class WorkerProject:
    """The sample project with a worker ``jobs``, whose data folder holds its queue and what it did."""

    def __init__(self, project: SampleProject) -> None:
        self.project = project
        self.data = project.folder / ".abreast" / "local" / "local" / "data" / "jobs"
        project.config["services"]["jobs"] = {
            "type": "worker",
            "run": f"exec {sys.executable} -S worker.py",
            "health": {"hold": "200ms"},
            "instances": 2,
        }
        for folder in ("queue", "taken"):
            (self.data / folder).mkdir(parents=True)
        self.commit(WORKER)

    def commit(self, worker: str) -> str:
        return self.project.commit(worker_py=worker)

    def add_job(self, name: str, seconds: float = 0.0) -> None:
        (self.data / name).write_text(str(seconds))
        (self.data / name).rename(self.data / "queue" / name)

    def log(self) -> list[str]:
        """Return what happened, each with its release: ``v1 done a``."""
        file = self.data / "log"
        return file.read_text().splitlines() if file.exists() else []

    def running_releases(self) -> Counter[str]:
        """Return how many of its processes run, by release."""
        found: Counter[str] = Counter()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                env = (entry / "environ").read_bytes()
                runs = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                continue
            if runs and f"ABREAST_DATA={self.data}\0".encode() in env + b"\0":
                found[env.partition(b"ABREAST_RELEASE=")[2].partition(b"\0")[0].decode()] += 1
        return found


@pytest.fixture
def worker(project: SampleProject) -> WorkerProject:
    return WorkerProject(project)


def test_a_worker_is_part_of_the_release_and_has_no_address(worker: WorkerProject) -> None:
    plan = worker.project.run("plan").stdout
    assert "runs beside the previous version until the watch has passed" in plan
    worker.project.deploy()
    worker.add_job("a")
    eventually(lambda: "v1 done a" in worker.log())
    assert worker.running_releases() == {"v1": 2}
    live = worker.project.status()["services"]["jobs"]
    assert (live["url"], live["health"], live["release"]) == ("", "healthy", "v1")
    text = worker.project.run("status").stdout
    assert "jobs           healthy    v1" in text
    assert "http" not in next(line for line in text.splitlines() if line.strip().startswith("jobs"))
    assert "jobs" in worker.project.run("doctor", code=None).stdout
    a_worker_that_does_not_run_is_told_and_started_again(worker)

    worker.commit(WORKER + "# new\n")
    worker.project.deploy()
    worker.project.run("rollback", "--yes", "--reason", "test", code=0)
    assert worker.running_releases() == {"v1": 2}, "a rollback brings the worker of that release back"
    worker.add_job("b")
    eventually(lambda: "v1 done b" in worker.log())


def a_worker_that_does_not_run_is_told_and_started_again(worker: WorkerProject) -> None:
    """As after a reboot: nothing of the environment runs, and the record says that v1 is live."""
    kill_environment(worker)
    status = worker.project.status()
    assert status["services"]["jobs"]["health"] == "unhealthy"
    assert set(status["stopped"]) == {"frontend", "backend", "jobs"}
    assert "not running: backend, frontend, jobs" in worker.project.run("status").stdout
    worker.project.deploy("--release", "v1")
    assert worker.running_releases() == {"v1": 2}
    assert worker.project.status()["services"]["jobs"]["health"] == "healthy"


def test_old_and_new_work_side_by_side_until_the_watch_has_passed(worker: WorkerProject) -> None:
    good = worker.project.commit()
    worker.project.deploy()
    worker.project.config["environments"]["local"]["settle"] = "60s"
    commit = worker.commit(WORKER + "# new\n")
    begun = worker.project.start("deploy", "--yes")
    eventually(lambda: get_json(worker.project.backend_port)["commit"] == commit)
    assert worker.running_releases() == {"v1": 2, "v2": 2}
    for number in range(8):
        worker.add_job(f"job-{number}", 0.1)
    eventually(lambda: sum(" done " in line for line in worker.log()) == 8)
    assert {line.split()[0] for line in worker.log() if " done " in line} == {"v1", "v2"}
    worker.project.run("cancel", code=None)
    eventually(lambda: begun.poll() is not None)
    assert worker.running_releases() == {"v1": 2}, "the old ones never stopped"
    assert worker.log().count("v1 start") == 2
    for seconds, chapter in ((0.1, "check"), (1.5, "watch")):
        a_worker_that_crashes_turns_everything_back(worker, seconds, chapter)
        assert worker.project.served_commits() == {"frontend": good, "backend": good}
        assert worker.running_releases() == {"v1": 2}


def a_worker_that_crashes_turns_everything_back(worker: WorkerProject, seconds: float, chapter: str) -> None:
    worker.project.config["environments"]["local"]["settle"] = "20s"
    worker.commit(CRASHES.format(seconds=seconds))
    told = worker.project.deploy(code=1)
    assert "no broker" in told.stdout + told.stderr
    deployment = worker.project.latest_deployment()
    failed = [event for event in deployment["events"] if event["kind"] == "failed"]
    assert [(event["service"], event["chapter"]) for event in failed] == [("jobs", chapter)]


def test_a_job_in_hand_is_finished_when_its_worker_is_replaced(worker: WorkerProject) -> None:
    worker.project.config["environments"]["local"]["drain"] = "20s"
    worker.commit(WORKER)
    worker.project.deploy()
    worker.add_job("long", 12.0)  # longer than the grace of a process without users
    eventually(lambda: not (worker.data / "queue" / "long").exists())
    worker.commit(WORKER + "# new\n")
    worker.project.deploy()
    assert "v1 done long" in worker.log()
    assert worker.running_releases() == {"v2": 2}


def test_a_health_command_decides_where_the_worker_runs_with_its_variables(worker: WorkerProject) -> None:
    check = 'test -f worker.py && test "$ABREAST_SERVICE" = jobs && test -f "$ABREAST_DATA/connected"'
    worker.project.config["services"]["jobs"]["health"] = {"command": check, "hold": "0s", "start": "2s"}
    worker.commit(WORKER)
    told = worker.project.deploy(code=1)
    assert f"`{check}`: exit code 1" in told.stdout + told.stderr
    (worker.data / "connected").touch()
    worker.project.config["environments"]["local"]["settle"] = "20s"
    worker.commit(WORKER)
    begun = worker.project.start("deploy", "--yes")
    eventually(lambda: worker.project.latest_deployment()["chapter"] == "watch")
    (worker.data / "connected").unlink()
    eventually(lambda: begun.poll() is not None)
    assert worker.project.latest_deployment()["state"] == "turned-back"
    assert worker.running_releases() == Counter()

    worker.project.config["services"]["jobs"]["health"] = {"command": "exec sleep 60", "within": "300ms", "start": "1s"}
    worker.commit(WORKER)
    told = worker.project.deploy(code=1)
    assert "`exec sleep 60`: timed out after 0.3 s" in told.stdout + told.stderr, "one that hangs is unhealthy"


def test_a_service_becomes_a_worker_and_a_web_service_again(project: SampleProject) -> None:
    project.deploy()
    web = dict(project.config["services"]["backend"])
    project.config["services"]["backend"] = {"type": "worker", "run": "exec sleep 1000"}
    own = project.config["environments"]["local"].pop("backend")
    project.commit()
    project.deploy()
    assert project.status()["services"]["backend"]["url"] == ""
    with pytest.raises(OSError, match=r"refused|urlopen"):
        get_json(project.backend_port)
    project.config["services"]["backend"] = web
    project.config["environments"]["local"]["backend"] = own
    commit = project.commit()
    project.deploy()
    assert project.served_commits()["backend"] == commit


ELSEWHERE = {
    "netlify": {"site": "shop"},
    "huggingface": {"space": "me/jobs"},
    "static-dir": {"to": "/srv/www", "url": "https://shop.example"},
    "render": {"hook": "HOOK", "url": "https://jobs.onrender.com"},
}


def test_what_a_platform_does_not_run_is_refused_in_the_plan(project: SampleProject) -> None:
    for platform, place in ELSEWHERE.items():
        for settings, said in (
            ({"type": "worker"}, "is a worker"),
            ({"schedule": "0 3 * * *"}, "is a scheduled command"),
        ):
            project.config["services"]["jobs"] = {"run": "serve", **settings}
            project.config["environments"]["local"]["jobs"] = {platform: place}
            project.commit()
            told = project.run("plan", code=2).stderr
            assert f"jobs {said}, and {platform} runs none" in told
            assert "needed: local, or a" in told
        assert f"jobs is a scheduled command, and {platform} runs none" in project.run("doctor", code=1).stdout


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_write_in_turn_a_worker_always_runs_and_the_schedule_moves_once(
    worker: WorkerProject, moment: str
) -> None:
    runs = worker.data.parent / "report" / "runs"
    command = 'echo "$ABREAST_RELEASE" >> "$ABREAST_DATA/runs"'
    worker.project.config["services"]["report"] = {"schedule": "* * * * * *", "run": command}
    worker.commit(WORKER)
    worker.project.deploy()
    eventually(runs.exists)
    worker.commit(WORKER + "# new\n")
    codes = []
    for code in fork_server.run_crash_relay(worker.project.folder, "deploy", "--yes", moment=moment):
        codes.append(code)
        assert 2 in worker.running_releases().values()
    assert codes[-1] == 0
    assert len(codes) > 20
    new = worker.project.latest_deployment()["release"]
    assert set(worker.running_releases()) == {new}
    assert worker.running_releases()[new] >= 2
    seen = len(runs.read_text().split())
    eventually(lambda: len(runs.read_text().split()) > seen)
    releases = runs.read_text().split()
    assert releases == sorted(releases), "after the switch, never the old one again"


def kill_environment(worker: WorkerProject) -> None:
    """Kill all that runs in the environment, as a power failure does."""
    home = str(worker.project.folder / ".abreast" / "local" / "local")

    def found() -> list[int]:
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                inside = (entry / "cwd").readlink().is_relative_to(home)
            except OSError:
                continue
            if inside or any(word == home for word in words):
                pids.append(int(entry.name))
        return pids

    while pids := found():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
