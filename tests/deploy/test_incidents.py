"""Incidents of real deployments: their reports, what people add, who is told, and what no crash loses."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest

from abreast.core.incidents.model import IncidentStatus
from abreast.deploy.runtime.incidents import read_incidents, record_condition
from abreast.ledger.sqlite import SqliteLedger
from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.testing.receivers import webhook
from abreast.wiring.workspace import current_user, later
from sample_project import UNHEALTHY_AFTER_REQUESTS, SampleProject, eventually, get_json, wait_for_exit
from state_worlds import GitWorld, git

SENTINEL = "xq7-sentinel-4711"
KEEPS_ITS_TOKEN = f'    if ANSWERED > 5: print("token", os.environ["TOKEN"], flush=True)\n{UNHEALTHY_AFTER_REQUESTS}'


def becomes_sick(project: SampleProject, variables: dict[str, str]) -> str:
    """Deploy a good release, then one that becomes sick while users are on it; return the second deployment."""
    project.commit("Good")
    project.deploy(variables=variables)
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit("Leak", app_py=project.app_source(KEEPS_ITS_TOKEN))
    deploying = project.start("deploy", "--yes", variables=variables)
    eventually(lambda: [get_json(project.backend_port), deploying.poll()][1] is not None, 90)
    assert wait_for_exit(deploying) == 1
    project.config["environments"]["local"]["settle"] = "300ms"
    return str(project.latest_deployment()["id"])


def becomes_stuck(project: SampleProject) -> str:
    """Leave a deployment that could not be turned back, since the router's table is damaged."""
    project.commit("Good")
    project.deploy()
    before = project.latest_deployment()["id"]
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    deploying = project.start("deploy", "--yes")
    eventually(lambda: project.latest_deployment()["id"] != before)
    eventually(lambda: project.latest_deployment()["chapter"] == "watch", 90)
    for table in (project.folder / ".abreast" / "local" / "local" / "router").glob("table*.json"):
        table.write_text("{")
    project.run("cancel", "--reason", "no", code=4)
    assert wait_for_exit(deploying) == 4
    return str(project.latest_deployment()["id"])


def reports(project: SampleProject) -> dict[str, Any]:
    """Return the written reports, by id. Each is for its owner alone, and in both forms."""
    folder = project.folder / ".abreast" / "incidents"
    if not folder.exists():
        return {}
    files = sorted(folder.iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} <= {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.suffix for file in files} <= {".md", ".json"}, "nothing unfinished is left"
    assert len({file.stem for file in files}) * 2 == len(files)
    return {file.stem: json.loads(file.read_text()) for file in files if file.suffix == ".json"}


def incident(project: SampleProject, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(project.run("incident", *arguments, "--json").stdout))


def test_a_candidate_that_becomes_sick_with_users_on_it(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"TOKEN": "${TOKEN}"}
    token = {"TOKEN": SENTINEL}
    id_ = becomes_sick(project, token)
    written = reports(project)[id_]
    assert (written["severity"], written["status"]) == ("SEV3", "resolved")
    assert written["why"] == "users of local were affected"
    assert written["detected"] < written["turn_back_began"] < written["recovered"]
    assert written["recovery_seconds"] >= 0
    (backend,) = [service for service in written["services"] if service["name"] == "backend"]
    assert (backend["bad_release"], backend["good_release"]) == ("v2", "v1")
    assert backend["requests_failed"] is None
    assert backend["seconds_on_bad_version"] > 0
    assert [(commit["subject"], commit["author"]) for commit in written["commits"]] == [("Leak", "t")]
    assert written["live"] == {"frontend": "v1", "backend": "v1"}
    assert "status 503" in written["failures"][0]["text"]
    assert "token" in "".join(written["failures"][0]["log"])
    assert "How many requests failed? Unknown for frontend, backend." in written["questions"]
    shown = project.run("incident", id_[-6:], variables=token).stdout
    assert f"# SEV3: ` {written['title']} `" in shown or f"# SEV3: {written['title']}" in shown
    assert "Subject: [INCIDENT] Local Deployment Issue - SEV3" in shown
    assert f"{id_}  SEV3      resolved" in project.run("incident").stdout
    project.run("incident", "v2", "--note", f"critical bug: it prints {SENTINEL}", variables=token)
    project.run("incident", id_, "--close", code=2)
    project.run("incident", id_, "--close", "--reason", f"no {SENTINEL} any more", variables=token)
    assert "closed already" in project.run("incident", id_, "--close", "--reason", "x", code=2).stderr
    closed = reports(project)[id_]
    assert (closed["status"], closed["cause"]) == ("closed", "critical bug")
    assert [entry["text"].partition(":")[0] for entry in closed["timeline"]][-2:] == ["note", "closed"]
    project.run("incident", id_, "--reopen", "--reason", "it is back")
    assert incident(project, id_)["status"] == "open"
    project.commit("Good again", app_py=project.app_source("    return 200, {}\n"))
    project.deploy(variables=token)
    assert reports(project)[id_]["status"] == "resolved", "the next good deployment writes it"
    acts = [json.loads(line) for line in project.run("audit", "export").stdout.splitlines()]
    by_people = [(act["what"], act["outcome"], act["deployment"]) for act in acts if act["what"].startswith("incident")]
    assert by_people == [(f"incident {name}", "done", id_) for name in ("note", "close", "reopen")]
    for file in (project.folder / ".abreast" / "incidents").iterdir():
        assert SENTINEL not in file.read_text()


def test_what_watches_opens_it_again_and_says_that_it_is_over(project: SampleProject) -> None:
    project.deploy()
    with SqliteLedger.open(project.folder / ".abreast") as ledger:
        record_condition(ledger, "nowhere", "x", is_degraded=True)
        record_condition(ledger, "local", "", is_degraded=False)
        assert list(read_incidents(ledger)) == [], "what was never degraded has not recovered"
        for _ in range(2):
            record_condition(ledger, "local", "the 95th percentile is 4 s", is_degraded=True)
        (found,) = read_incidents(ledger)
        assert (found.status, found.severity, found.title) == (
            IncidentStatus.OPEN,
            "SEV1",
            "local is degraded on v1",
        )
        assert [entry.text for entry in found.timeline].count("degraded: the 95th percentile is 4 s") == 1
        record_condition(ledger, "local", "0.2 s", is_degraded=False)
        (found,) = read_incidents(ledger, "local")
        assert (found.status, found.severity) == (IncidentStatus.RESOLVED, "SEV3")


def test_rollbacks_are_incidents_and_no_report_of_one_is_lost(project: SampleProject) -> None:
    release(project, "One", "Two")
    assert project.run("incident").stdout == "there was no incident\n"
    succeeded = project.latest_deployment()["id"]
    assert "has no incident" in project.run("incident", succeeded, code=2).stderr
    killed_between_the_end_and_the_report(project)
    release(project, "Three")
    (found,) = reports(project).values()
    assert (found["kind"], found["status"]) == ("rollback", "resolved"), "the next deployment writes it"

    release(project, "Four")
    written = a_rollback_says_what_kind_of_failure_it_was(project, known=reports(project))
    many_read_and_write_at_once(project, written)

    release(project, "Five")
    shutil.rmtree(project.folder / ".abreast" / "incidents")
    (project.folder / ".abreast" / "incidents").write_text("in the way")
    done = project.run("rollback", "--yes", "--reason", "x")
    assert "the reports of incidents are not written" in done.stdout, "which fails no deployment"
    assert "the reports are not written" in project.run("incident").stderr


def release(project: SampleProject, *subjects: str) -> None:
    for subject in subjects:
        project.commit(subject)
        project.deploy()


def killed_between_the_end_and_the_report(project: SampleProject) -> None:
    program = (
        "import os, signal, sys; from abreast.ledger.sqlite import SqliteLedger; from abreast.__main__ import main\n"
        "SqliteLedger.record_checkpoint = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.argv = ['abreast', 'rollback', '--yes', '--reason', 'x']; sys.exit(main())"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=project.folder, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    assert project.latest_deployment()["state"] == "succeeded"
    assert reports(project) == {}


def a_rollback_says_what_kind_of_failure_it_was(project: SampleProject, known: Mapping[str, object]) -> str:
    """Roll back, and return the new incident."""
    os.environ["DEPLOY_TOKEN"] = SENTINEL
    try:
        project.run("rollback", "--yes", "--reason", f"service outage: {SENTINEL} is refused")
        written = reports(project)
    finally:
        del os.environ["DEPLOY_TOKEN"]
    (id_,) = written.keys() - known.keys()
    found = written[id_]
    assert found["title"] == "v4 was rolled back to v3 in local"
    assert (found["severity"], found["status"], found["cause"]) == ("SEV3", "resolved", "service outage")
    assert [commit["subject"] for commit in found["commits"]] == ["Four"]
    assert found["timeline"][0]["text"] == "v4 went live"
    for file in (project.folder / ".abreast" / "incidents").iterdir():
        assert SENTINEL not in file.read_text()
    return id_


def many_read_and_write_at_once(project: SampleProject, id_: str) -> None:
    for file in (project.folder / ".abreast" / "incidents").iterdir():
        file.unlink()
    notes = [project.start("incident", "--note", f"note {number}") for number in range(2)]
    readers = [project.start("incident") for _ in range(2)]
    assert [wait_for_exit(command) for command in (*notes, *readers)] == [0] * 4
    assert id_ in reports(project)
    said = {entry["text"] for entry in incident(project, id_)["timeline"]}
    assert {"note: note 0", "note: note 1"} <= said


def test_an_agent_reads_and_adds_nothing(project: SampleProject) -> None:
    agent = {"ABREAST_AGENT": "robot"}
    project.run("incident", variables=agent)
    for options in (["--note", "x"], ["--close", "--reason", "x"], ["--reopen", "--reason", "x"]):
        assert "robot is an agent" in project.run("incident", *options, code=3, variables=agent).stderr
    assert "only one thing" in project.run("incident", "--note", "x", "--close", code=2).stderr
    assert "nothing was added" in project.run("incident", "--note", " ", code=2).stderr
    assert "--close or --reopen" in project.run("incident", "--reason", "fixed", code=2).stderr


@pytest.fixture
def endpoint() -> Iterator[tuple[webhook.WebhookEndpoint, dict[str, str]]]:
    """Serve a webhook of one's own, and return the variables that lead to it."""
    taken = webhook.WebhookEndpoint()
    with ThreadedServer(taken.app) as server:
        yield taken, {"HOOK_URL": f"{server.url}/hook", "HOOK_SECRET": webhook.SECRET}


SENDER = """
import json, os, sys
from abreast.__main__ import main
from abreast.cli.commands import notifications
from abreast.wiring import assembly

def send(folder, moment):
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    assembly.utc_now = lambda: moment
    sys.argv = ["abreast", "notify", "send"]
    return main()

for line in sys.stdin:
    pids = []
    for folder, moment in json.loads(line):
        pids.append(os.fork())
        if pids[-1] == 0:
            try:
                code = send(folder, moment)
            except SystemExit as end:
                code = end.code
            os._exit(code or 0)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)
"""
"""Sends what is due at given moments, each time in processes that run side by side."""


@contextmanager
def sender(variables: dict[str, str]) -> Iterator[Callable[..., list[int]]]:
    """Yield a function that sends for pairs of a folder and a moment, at once, and returns the exit codes."""
    command = [sys.executable, "-c", SENDER]
    environment = {**os.environ, **variables}
    with subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        assert process.stdin
        assert process.stdout
        orders, answers = process.stdin, process.stdout

        def send(*due: tuple[Path, str]) -> list[int]:
            orders.write(json.dumps([(str(folder), moment) for folder, moment in due]) + "\n")
            orders.flush()
            return list(json.loads(answers.readline()))

        yield send
        orders.close()


def reminded(taken: webhook.WebhookEndpoint) -> list[str]:
    """Return the reminders that were sent."""
    told = [event["data"] for event in taken.events if event["type"] == "environment.incident-reminder"]
    return [data["failures"][0]["text"] for data in told]


def test_two_machines_remind_once(
    project: SampleProject, endpoint: tuple[webhook.WebhookEndpoint, dict[str, str]], tmp_path: Path
) -> None:
    taken, variables = endpoint[0], {**endpoint[1], "ABREAST_STATE": "git"}
    git(project.folder, "remote", "add", "origin", str(GitWorld(tmp_path / "world").remote))
    project.config["notify"] = {"webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"}}
    for text in ("One", "Two"):
        project.commit(text)
        project.deploy(variables=variables)
    project.run("rollback", "--yes", "--reason", "x", variables=variables)
    project.run("incident", "--reopen", "--reason", "it is not better", variables=variables)
    git(project.folder, "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path, "clone", "--quiet", str(tmp_path / "world" / "remote.git"), "other", "--branch", "main")
    id_ = project.run("incident", variables=variables).stdout.splitlines()[1].split()[0]
    told = project.run("incident", id_, "--json", variables=variables).stdout
    due = later(json.loads(told)["open_since"], 901)
    machines = [project.folder, tmp_path / "other"]
    with sender(variables) as send:
        send(*((folder, due) for folder in machines))  # one of the two may find that the other holds the environment
        for folder in machines:
            assert send((folder, due)) == [0]
    assert len(reminded(taken)) == 1
    project.run("down", "--yes", variables=variables)


def test_one_that_is_stuck_is_told_once_in_each_quarter_of_an_hour(
    project: SampleProject, endpoint: tuple[webhook.WebhookEndpoint, dict[str, str]]
) -> None:
    taken, variables = endpoint
    id_ = becomes_stuck(project)
    written = reports(project)[id_]
    assert (written["severity"], written["status"], written["why"]) == (
        "SEV1",
        "open",
        "it is stuck: a person is needed",
    )
    assert written["recovery_seconds"] is None
    assert [entry["text"] for entry in written["timeline"] if entry["by"] == current_user()] == ["cancel: no"]
    assert written["next_commands"][0] == f"abreast resume {id_}"
    project.config["notify"] = {"webhook": {"url": "${HOOK_URL}", "secret": "${HOOK_SECRET}"}}
    project.commit("Tell")

    def due(seconds: float) -> tuple[Path, str]:
        return project.folder, later(written["open_since"], seconds)

    with sender(variables) as send:
        assert send(due(899)) == [0]
        assert reminded(taken) == []
        send(due(901), due(901))  # one of the two may find that the other holds the environment
        assert send(due(1700)) == [0]
        assert len(reminded(taken)) == 1
        assert "open for 15 minutes: it is stuck: a person is needed" in reminded(taken)[0]
        assert send(due(4000)) == [0]
        assert len(reminded(taken)) == 2, "those that were missed are not told one after the other"
        project.run("down", "--yes")
        project.run("resume", code=1, variables=variables)
        assert reports(project)[id_]["status"] == "resolved"
        assert send(due(8000)) == [0]
        assert len(reminded(taken)) == 2
    assert {event["type"] for event in taken.events} <= {
        "environment.incident-reminder",
        "deployment.stuck",
        "deployment.turned-back",
        "deployment.failed",
    }
