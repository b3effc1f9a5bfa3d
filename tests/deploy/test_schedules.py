"""Scheduled commands of the live release: what runs after the switch, after a turn-back, and while things are killed."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from abreast.platforms.local.supervisor.schedule_record import ScheduleRecord
from sample_project import UNHEALTHY_AFTER_REQUESTS, SampleProject, eventually, get_json

EACH_SECOND = "* * * * * *"


class ScheduledProject:
    """The sample project with a command ``report`` that runs each second and notes its release in its data folder."""

    def __init__(self, project: SampleProject) -> None:
        self.project = project
        self.home = project.folder / ".abreast" / "local" / "local"
        self.file = self.home / "data" / "report" / "runs"
        self.set("true")

    def set(self, command: str, schedule: str = EACH_SECOND) -> str:
        note = 'echo "$ABREAST_RELEASE" >> "$ABREAST_DATA/runs"; echo "report of $ABREAST_RELEASE"'
        self.project.config["services"]["report"] = {"schedule": schedule, "run": f"{note}; {command}"}
        return self.project.commit()

    def runs(self) -> list[str]:
        """Return the releases that ran, once for each time."""
        return self.file.read_text().split() if self.file.exists() else []

    def runs_again(self, release: str, after: int) -> bool:
        return release in self.runs()[after:]

    def pids(self, word: str) -> list[int]:
        """Return the processes of this environment with a word in their command line."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(self.home) in line and word in line:
                found.append(int(entry.name))
        return found


@pytest.fixture
def scheduled(project: SampleProject) -> ScheduledProject:
    return ScheduledProject(project)


def test_it_runs_by_the_clock_of_its_time_zone(scheduled: ScheduledProject) -> None:
    """In Nepal, it is never the same hour as in UTC."""
    project, there = scheduled.project, datetime.now(ZoneInfo("Asia/Kathmandu"))
    hours = f"{there.hour},{(there.hour + 1) % 24}"
    scheduled.set("true", f"* * {hours} * * *")
    project.config["services"]["report"]["timezone"] = "Asia/Kathmandu"
    project.commit()
    assert f"runs at * * {hours} * * * (Asia/Kathmandu) while" in project.run("plan").stdout
    project.deploy()
    eventually(lambda: len(scheduled.runs()) >= 2)
    schedule = project.status()["services"]["report"]["schedule"]
    assert schedule["timezone"] == "Asia/Kathmandu"
    assert datetime.fromisoformat(schedule["next"]) - datetime.now(UTC) < timedelta(hours=1)
    assert "(Asia/Kathmandu): last " in project.run("status").stdout


def test_the_live_release_runs_it_and_status_and_logs_tell(scheduled: ScheduledProject) -> None:
    project = scheduled.project
    scheduled.set("exit $(cat $ABREAST_DATA/code 2>/dev/null || echo 0)")
    assert f"runs at {EACH_SECOND} (UTC) while its release is live" in project.run("plan").stdout
    project.deploy()
    eventually(lambda: len(scheduled.runs()) >= 2)
    live = project.status()["services"]["report"]
    assert (live["url"], live["schedule"]["schedule"], live["release"]) == ("", EACH_SECOND, "v1")
    eventually(lambda: project.status()["services"]["report"]["schedule"]["last"]["exit_code"] == 0)
    (scheduled.file.parent / "code").write_text("3")
    eventually(lambda: project.status()["services"]["report"]["schedule"]["last"]["exit_code"] == 3)
    assert project.status()["services"]["report"]["health"] == "unhealthy"
    assert f"{EACH_SECOND} (UTC): last" in project.run("status").stdout
    assert "exit code 3; next" in project.run("status").stdout
    assert "report | report of v1" in project.run("logs").stdout


def test_after_the_switch_the_new_release_runs_it_and_after_a_turn_back_the_old_one(
    scheduled: ScheduledProject,
) -> None:
    project = scheduled.project
    good = project.commit()
    project.deploy()
    eventually(scheduled.runs)
    project.config["environments"]["local"]["settle"] = "60s"
    bad = project.commit("Leak", app_py=project.app_source(UNHEALTHY_AFTER_REQUESTS))
    begun = project.start("deploy", "--yes")
    eventually(lambda: get_json(project.backend_port)["commit"] == bad)
    eventually(lambda: scheduled.runs_again("v2", 0))
    switched = scheduled.runs().index("v2")
    assert set(scheduled.runs()[:switched]) == {"v1"}
    eventually(lambda: scheduled.runs()[switched:].count("v2") >= 2)
    assert set(scheduled.runs()[switched:]) == {"v2"}, "never both"
    for _ in range(8):
        get_json(project.backend_port)
    eventually(lambda: begun.poll() is not None)
    assert project.latest_deployment()["state"] == "turned-back"
    assert project.served_commits() == {"frontend": good, "backend": good}
    back = len(scheduled.runs())
    eventually(lambda: len(scheduled.runs()) >= back + 2)
    assert set(scheduled.runs()[back:]) == {"v1"}


def test_a_candidate_runs_nothing(scheduled: ScheduledProject) -> None:
    """The deployment fails while its candidate of the command is up, before traffic switches."""
    project = scheduled.project
    project.config["services"]["backend"]["needs"] = ["report"]
    project.config["services"]["backend"]["health"] |= {"start": "3s"}
    project.commit("Sick", app_py=project.app_source("    return 503, {}\n"))
    project.deploy(code=1)
    assert scheduled.runs() == []


def test_killed_processes_come_back_and_never_two_runs_at_once(scheduled: ScheduledProject) -> None:
    project = scheduled.project
    scheduled.set(
        'cd "$ABREAST_DATA"; case "$(cut -d" " -f3 /proc/$(cat pid)/stat)" in R|S|D) touch together;; esac; '
        "echo $$ > pid; sleep 0.5"
    )
    project.deploy()
    for word in ("supervisor.process_manager", "supervisor.watchdog", "supervisor.scheduled_command"):
        eventually(scheduled.runs)
        for pid in scheduled.pids(word):
            os.kill(pid, signal.SIGKILL)
        before = len(scheduled.runs())
        eventually(lambda: len(scheduled.runs()) >= before + 2)  # noqa: B023 (called at once)
    assert not (scheduled.file.parent / "together").exists()


def test_a_secret_is_not_on_disk_and_still_there_after_a_kill(scheduled: ScheduledProject) -> None:
    project = scheduled.project
    variables = {"REPORT_TOKEN": "s3cr3t-of-the-report"}
    script = 'echo "$REPORT_TOKEN" | cksum >> "$ABREAST_DATA/sums"; echo "with $REPORT_TOKEN"\n'
    scheduled.set("sh report.sh")
    project.config["services"]["report"]["env"] = {"REPORT_TOKEN": "${REPORT_TOKEN}"}
    project.commit(report_sh=script)
    project.deploy(variables=variables)
    sums = scheduled.file.parent / "sums"
    eventually(sums.read_text)
    for pid in scheduled.pids("supervisor.process_manager"):
        os.kill(pid, signal.SIGKILL)
    before = len(sums.read_text().splitlines())
    eventually(lambda: len(sums.read_text().splitlines()) >= before + 2)
    assert len(set(sums.read_text().splitlines())) == 1
    for file in (project.folder / ".abreast").rglob("*"):
        if file.is_file():
            assert variables["REPORT_TOKEN"].encode() not in file.read_bytes(), file


def test_what_was_due_while_the_environment_was_down_runs_once(scheduled: ScheduledProject) -> None:
    project, record = scheduled.project, scheduled.home / "schedules" / "report.json"
    scheduled.set("true", schedule="0 3 * * *")
    project.deploy()
    eventually(record.exists)
    project.run("down", "--yes")
    assert not scheduled.pids("supervisor.scheduled_command")
    three_nights_ago = datetime.now(UTC) - timedelta(days=3)
    ScheduleRecord("0 3 * * *", three_nights_ago).write(record)
    project.deploy("--release", "v1")
    eventually(lambda: project.status()["services"]["report"]["schedule"]["last"]["state"] == "ended")
    assert scheduled.runs() == ["v1"]


def test_a_removed_command_is_not_started_any_more(scheduled: ScheduledProject) -> None:
    project = scheduled.project
    project.deploy()
    eventually(scheduled.runs)
    del project.config["services"]["report"]
    project.commit()
    project.deploy()
    assert not scheduled.pids("supervisor.scheduled_command")
    assert "report" not in project.status()["services"]
