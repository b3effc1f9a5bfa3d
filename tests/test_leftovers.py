"""A session of tests leaves nothing behind, however it ends; each here is one of its own, with the same rules."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from limits import scaled
from sample_project import eventually

STARTS_A_PROCESS = """
import pathlib, subprocess, time, pytest
PID = pathlib.Path(__file__).with_name("pid")
STARTED = []  # an interrupt that comes while an object is finalized is lost

def start():
    STARTED.append(subprocess.Popen(["sleep", "600"], start_new_session=True))
    PID.with_suffix(".new").write_text(str(STARTED[-1].pid))
    PID.with_suffix(".new").rename(PID)
"""
PASSES = "def test_it():\n    start()\n"
WAITS = "def test_it():\n    start()\n    time.sleep(600)\n"
IS_LATE = f"@pytest.mark.timeout(1)\n{WAITS}"
INTERRUPTS_ITS_CHILD = """
import signal, sys
def test_it():
    wait = "import time; print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", wait], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(60) in (-signal.SIGINT, 1)
"""


def begin(folder: Path, test: str, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    """Begin a session with one test."""
    (folder / "test_it.py").write_text(STARTS_A_PROCESS + test)
    options = ["-p", "conftest", "-c", os.devnull, "--rootdir", str(folder), "-o", "timeout=100", "-q"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(folder)], cwd=folder, text=True, preexec_fn=before,  # noqa: PLW1509
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**plain_environment(), "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip


def plain_environment() -> dict[str, str]:
    """The variables without those of the workers that these tests run in."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def end(session: subprocess.Popen[str]) -> str:
    """Wait for a session's end; return what it wrote."""
    return session.communicate(timeout=scaled(60))[0]


def has_ended(folder: Path) -> bool:
    """Whether the process that the test started runs no more; it may not have been waited for yet."""
    status = Path(f"/proc/{(folder / 'pid').read_text()}/status")
    return not status.exists() or "(zombie)" in status.read_text()


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "test", [PASSES, pytest.param(IS_LATE, marks=pytest.mark.exhaustive)], ids=["passes", "is late"]
)
def test_what_a_test_leaves_running_is_ended_and_fails_the_session(tmp_path: Path, test: str) -> None:
    session = begin(tmp_path, test)
    output = end(session)
    assert "left running, now ended" in output
    assert "sleep 600" in output
    assert session.returncode == 1
    assert has_ended(tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)])
def test_an_interrupted_session_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    session = begin(tmp_path, WAITS)
    eventually((tmp_path / "pid").exists)
    session.send_signal(number)
    assert "KeyboardInterrupt" in end(session)
    assert session.returncode == 2
    assert has_ended(tmp_path)


@pytest.mark.exhaustive
def test_what_tests_start_can_be_interrupted_where_the_session_runs_in_the_background(tmp_path: Path) -> None:
    session = begin(tmp_path, INTERRUPTS_ITS_CHILD, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    output = end(session)
    assert session.returncode == 0, output
