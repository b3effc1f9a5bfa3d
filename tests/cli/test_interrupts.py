"""SIGTERM as programs send it: more than once, and without looking."""

import subprocess
import sys

PROGRAM = """
import asyncio, os, signal
from types import SimpleNamespace
from abreast.cli.interrupts import InterruptHandler

display = SimpleNamespace(print_line=print)
ledger = SimpleNamespace(request=lambda *request: print(*request))

async def command(signals):
    with InterruptHandler(display, ledger, lambda: SimpleNamespace(deployment="01M")) as handler:
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
            while not handler.turned_back:
                await asyncio.sleep(0)
    return handler.turned_back

for signals in {signals}:
    print("turned back:", asyncio.run(command(signals)))
os.kill(os.getpid(), signal.SIGTERM)
print("told to the end", flush=True)
"""


def run(*signals: int) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("{signals}", repr(signals))
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)


def test_sigterm_once_more_does_not_cut_off_what_is_told_of_the_turn_back() -> None:
    done = run(2)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "01M cancel stopped by SIGTERM", "turning back. Interrupt again to leave it unfinished", "turned back: True",
        "told to the end",
    ]  # fmt: skip


def test_sigterm_after_a_command_that_nobody_interrupted_ends_it() -> None:
    assert run(0).returncode == -15
