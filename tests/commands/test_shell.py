"""Commands of the project: to their end, within their time, with nothing left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from abreast.commands.interface import Command, CommandResult
from abreast.commands.shell import end_orphans, run
from abreast.machine import process
from abreast.machine.kernel.linux_processes import LinuxProcessTable
from abreast.machine.kernel.psutil_processes import PsutilProcessTable
from abreast.machine.process import process_groups
from sample_project import eventually


@pytest.fixture(
    autouse=True, params=[LinuxProcessTable, pytest.param(PsutilProcessTable, marks=pytest.mark.exhaustive)]
)
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are found by each variant in turn."""
    monkeypatch.setattr(process, "PROCESSES", request.param())


def ended(text: str, tmp_path: Path, timeout: float = 30, halt_after: float | None = None, **env: str) -> CommandResult:
    async def story() -> CommandResult:
        async def halt() -> str:
            await asyncio.sleep(1000 if halt_after is None else halt_after)
            return "told to stop"

        whole = {"PATH": os.environ["PATH"], **env}
        command = Command(text, tmp_path, tmp_path / "logs" / "x.log", timeout, whole, frozenset(env))
        return await run(command, halt())

    return asyncio.run(story())


def test_the_end_is_told_with_the_last_lines(tmp_path: Path) -> None:
    assert ended("echo one; echo two >&2", tmp_path) == CommandResult("", ("one", "two"), 0)
    assert ended("seq 100; exit 3", tmp_path) == CommandResult("exit code 3", tuple(map(str, range(81, 101))), 3)
    assert ended("kill -SEGV $$", tmp_path).why == "killed by SIGSEGV"


def test_time_passes_and_others_are_told(tmp_path: Path) -> None:
    assert ended("echo a; sleep 1000", tmp_path, timeout=0.3) == CommandResult("timed out after 0.3 s", ("a",))
    assert ended("sleep 1000", tmp_path, halt_after=0.2).why == "told to stop"


def test_what_it_prints_is_logged_without_its_secrets(tmp_path: Path) -> None:
    told = ended('printf "%s" "$TOKEN"; echo; echo "a-$TOKEN-b"', tmp_path, TOKEN="sentinel-5")
    assert told.tail == ("••••", "a-••••-b")
    assert (tmp_path / "logs" / "x.log").read_text() == "••••\na-••••-b\n"


def test_output_without_line_ends_appears_while_it_comes(tmp_path: Path) -> None:
    dots = (
        "import sys, time\n"
        "for _ in range(400):\n"
        "    print('.', end='', flush=True)\n"
        "    time.sleep(0.005)\n"
        "    if '.' in open('logs/x.log').read(): sys.exit(0)\n"
        "sys.exit('nothing appeared')\n"
    )
    said = ended(f'{sys.executable} -c "{dots}"', tmp_path)
    assert said.why == "", "the delay counts from the first byte, not from the last"


def test_nothing_of_its_group_stays(tmp_path: Path) -> None:
    told = ended("sleep 1000 & echo $$; trap '' TERM; (trap '' TERM; sleep 1000) & wait", tmp_path, timeout=0.3)
    eventually(lambda: not process_groups([int(told.tail[0])]))


def test_what_a_killed_run_left_is_ended(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    code = (
        "import asyncio, os\nfrom pathlib import Path\nfrom abreast.commands.interface import Command\n"
        "from abreast.commands.shell import run\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "command = Command('(sleep 1000) & echo $$ > pid; wait', folder, folder / 'logs' / 'x.log', 99, dict(os.environ))\n"
        "asyncio.run(run(command, asyncio.sleep(99, '')))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as first:
        eventually((tmp_path / "pid").read_text)
        group = int((tmp_path / "pid").read_text())
        first.send_signal(signal.SIGKILL)
    end_orphans(tmp_path / "log")
    assert process_groups([group]), "another folder's"
    os.kill(group, signal.SIGKILL)
    end_orphans(logs)
    assert not process_groups([group])
