"""The process of a scheduled command: on time, alone, once, whatever is killed and whatever the clock does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.platforms.local.router.files import RouterFiles
from abreast.platforms.local.router.routing_table import Background, RoutingTable
from abreast.platforms.local.supervisor.schedule_record import CommandRun, ScheduleRecord, next_due
from sample_project import eventually, require_programs

NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)
NIGHTLY, EACH_SECOND = "0 3 * * *", "* * * * * *"
MODULE = "abreast.platforms.local.supervisor.scheduled_command"


@pytest.mark.parametrize(
    ("handled", "due"),
    [
        (None, datetime(2026, 11, 27, 3, tzinfo=UTC)),
        (datetime(2026, 11, 26, 3, tzinfo=UTC), datetime(2026, 11, 27, 3, tzinfo=UTC)),
        (datetime(2026, 11, 23, 3, tzinfo=UTC), datetime(2026, 11, 24, 3, tzinfo=UTC)),  # missed: at once
        (datetime(2026, 11, 27, 3, tzinfo=UTC), datetime(2026, 11, 28, 3, tzinfo=UTC)),  # the clock jumped back
        (datetime(2031, 1, 1, tzinfo=UTC), datetime(2026, 11, 27, 3, tzinfo=UTC)),  # the clock had been wrong
    ],
)
def test_a_time_is_due_once(handled: datetime | None, due: datetime) -> None:
    assert next_due(NIGHTLY, handled, NOW) == due


@given(st.lists(st.integers(-3 * 24 * 60, 3 * 24 * 60), max_size=30))
def test_no_time_of_the_schedule_runs_twice_whatever_the_clock_does(minutes: list[int]) -> None:
    """The clock is set to any minute of six days, again and again; what is due at that moment runs."""
    handled, ran = NOW, list[datetime]()
    for minute in minutes:
        now = NOW + timedelta(minutes=minute)
        due = next_due(NIGHTLY, handled, now)
        if due <= now:
            ran.append(due)
            handled = now
    assert ran == sorted(set(ran))
    assert len(ran) <= 3


class Scheduled:
    """A supervisor's home with the routing table, and processes of scheduled commands."""

    def __init__(self, home: Path) -> None:
        self.home, self.output = home, home / "output"
        self.record_file = home / "schedules" / "report.json"
        (home / "router").mkdir(parents=True)
        self.started: list[subprocess.Popen[bytes]] = []

    def make_live(self, version: str | None) -> None:
        table = RoutingTable(targets={id_: Background(id_, (f"{id_}-0",)) for id_ in ("v1", "v2")})
        RouterFiles(self.home / "router").write_table(table.with_live({"report": version}))

    def start(
        self, version: str, command: str, schedule: str = EACH_SECOND, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-E", "-P", "-m", MODULE, str(self.home), "report", version, schedule, command]
        process = subprocess.Popen(argv, cwd=self.home, start_new_session=True, env={**os.environ, **(env or {})})
        self.started.append(process)
        return process

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines() if self.output.exists() else []

    def record(self) -> ScheduleRecord:
        return ScheduleRecord.read(self.record_file)

    def last_run(self) -> CommandRun:
        run = self.record().run
        assert run
        return run

    def set_handled(self, moment: datetime, schedule: str) -> None:
        self.record_file.parent.mkdir(exist_ok=True)
        ScheduleRecord(schedule, moment).write(self.record_file)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def scheduled(tmp_path: Path) -> Iterator[Scheduled]:
    made = Scheduled(tmp_path / "home")
    yield made
    made.close()


@pytest.mark.exhaustive
def test_only_the_live_version_runs_its_command(scheduled: Scheduled) -> None:
    scheduled.make_live("v1")
    for version in ("v1", "v2"):
        scheduled.start(version, f"echo {version} >> output")
    eventually(lambda: scheduled.lines().count("v1") >= 2)
    assert set(scheduled.lines()) == {"v1"}
    scheduled.make_live("v2")
    eventually(lambda: scheduled.lines()[-1] == "v2")
    seen = len(scheduled.lines())
    scheduled.make_live("v1")
    eventually(lambda: "v1" in scheduled.lines()[seen:])
    eventually(lambda: scheduled.lines()[-3:] == ["v1"] * 3)


def test_nothing_runs_while_nothing_is_live(scheduled: Scheduled) -> None:
    scheduled.make_live(None)
    process = scheduled.start("v1", "echo ran >> output")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)
    assert scheduled.lines() == []
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.exhaustive
def test_runs_never_overlap_whoever_starts_them(scheduled: Scheduled) -> None:
    """Two processes of the live version, such as after a hand-over, and runs that take longer than the interval."""
    scheduled.make_live("v1")
    for _ in range(2):
        scheduled.start("v1", "echo begin >> output; sleep 1.4; echo end >> output")
    eventually(lambda: scheduled.lines().count("end") >= 3)
    lines = scheduled.lines()
    assert lines[:6] == ["begin", "end"] * 3


@pytest.mark.exhaustive
def test_a_run_whose_process_was_killed_still_runs_alone(scheduled: Scheduled) -> None:
    """The witness is flock(1): the command holds the lock, not the process that was killed."""
    require_programs("flock")
    scheduled.make_live("v1")
    process = scheduled.start("v1", "echo begin >> output; sleep 4; echo end >> output")
    eventually(lambda: scheduled.lines() == ["begin"])
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lock = scheduled.home / "schedules" / "report.lock"
    assert subprocess.run(["flock", "--nonblock", str(lock), "true"], check=False).returncode == 1
    scheduled.start("v1", "echo begin >> output; sleep 4; echo end >> output")
    eventually(lambda: len(scheduled.lines()) == 3)
    assert scheduled.lines() == ["begin", "end", "begin"]


def test_the_end_of_a_run_is_recorded(scheduled: Scheduled) -> None:
    scheduled.make_live("v1")
    scheduled.start("v1", "exit 7")
    eventually(lambda: scheduled.last_run().exit_code == 7)
    run = scheduled.last_run()
    assert run.version == "v1"
    assert run.ended
    assert run.started <= run.ended


def test_what_was_missed_runs_once_at_once(scheduled: Scheduled) -> None:
    """Three nights without the machine."""
    scheduled.make_live("v1")
    scheduled.set_handled(datetime.now(UTC) - timedelta(days=3), NIGHTLY)
    scheduled.start("v1", "echo ran >> output", NIGHTLY)
    eventually(lambda: scheduled.lines() == ["ran"] and scheduled.last_run().ended)
    handled = scheduled.record().handled
    assert handled
    assert next_due(NIGHTLY, handled, datetime.now(UTC)) > datetime.now(UTC)


def test_of_another_schedule_nothing_is_missed(scheduled: Scheduled) -> None:
    scheduled.make_live("v1")
    scheduled.set_handled(datetime.now(UTC) - timedelta(days=3), "0 4 * * *")
    scheduled.start("v1", "echo ran >> output", NIGHTLY)
    eventually(lambda: scheduled.record().schedule == NIGHTLY)
    assert scheduled.lines() == []


@pytest.mark.exhaustive
def test_a_clock_that_jumps_back_runs_nothing_twice(scheduled: Scheduled) -> None:
    """The witness is libfaketime: the clock of the process goes back an hour, then on from there."""
    require_programs("faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    offset = scheduled.home / "offset"
    offset.write_text("+0")
    env = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
    }
    scheduled.make_live("v1")
    scheduled.start("v1", "date -u +%s >> output", env=env)
    eventually(lambda: len(scheduled.lines()) >= 2)
    offset.write_text("-1h")
    before = len(scheduled.lines())
    process = scheduled.started[0]
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3.5)
    assert len(scheduled.lines()) <= before + 1, "each second of that hour has run"
    offset.write_text("+0")
    eventually(lambda: len(scheduled.lines()) >= before + 2)
    times = [int(line) for line in scheduled.lines()]
    assert times == sorted(set(times)), "no second ran twice"


def test_sigterm_reaches_the_run_and_is_waited_for(scheduled: Scheduled) -> None:
    scheduled.make_live("v1")
    command = "trap 'echo told >> output; exit 5' TERM; echo begin >> output; sleep 60 & wait"
    process = scheduled.start("v1", command)
    eventually(lambda: scheduled.lines() == ["begin"])
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(20) == 0
    assert scheduled.lines() == ["begin", "told"]
    assert scheduled.last_run().exit_code == 5


def test_a_run_that_ended_with_its_machine_is_interrupted(scheduled: Scheduled) -> None:
    scheduled.make_live("v1")
    started = datetime.now(UTC) - timedelta(days=1)
    scheduled.record_file.parent.mkdir()
    ScheduleRecord(NIGHTLY, started, CommandRun("v1", started)).write(scheduled.record_file)
    scheduled.start("v1", "exit 0", NIGHTLY)
    eventually(lambda: scheduled.last_run().ended and scheduled.last_run().started != started)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schedule": 1}', json.dumps({"schedule": "x", "handled": "y"})])
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert ScheduleRecord.read(tmp_path / "record.json") == ScheduleRecord()
