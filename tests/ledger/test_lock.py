"""The queue of an environment's lock, with real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from abreast.ledger.lock import EnvironmentLock
from sample_project import eventually

WAITS = """
import sys, time
from pathlib import Path
from abreast.ledger.lock import EnvironmentLock
print(EnvironmentLock(Path(sys.argv[1]), "local").join_queue(), flush=True)
time.sleep(600)
"""


def test_the_newest_that_waits_goes_first(tmp_path: Path) -> None:
    lock = EnvironmentLock(tmp_path, "local")
    first, second = lock.join_queue(), lock.join_queue()
    assert not lock.is_newest(first)
    assert lock.is_newest(second)
    assert EnvironmentLock(tmp_path, "other").is_newest(1)


def test_one_that_was_killed_while_it_waited_keeps_nobody_waiting(tmp_path: Path) -> None:
    lock = EnvironmentLock(tmp_path, "local")
    mine = lock.join_queue()
    with subprocess.Popen([sys.executable, "-c", WAITS, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert int(other.stdout.readline()) > mine
        assert not lock.is_newest(mine)
        os.kill(other.pid, signal.SIGKILL)
        eventually(lambda: lock.is_newest(mine))
    assert lock.is_newest(lock.join_queue())
