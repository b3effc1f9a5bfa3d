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
    assert lock.who_goes_first(first) == "a newer command"
    assert not lock.who_goes_first(second)
    assert not EnvironmentLock(tmp_path, "other").who_goes_first(1)


def test_what_is_urgent_leaves_its_place_to_what_is_urgent_only(tmp_path: Path) -> None:
    lock = EnvironmentLock(tmp_path, "local")
    rollback, routine = lock.join_queue(is_urgent=True), lock.join_queue()
    assert not lock.who_goes_first(rollback)
    assert lock.who_goes_first(routine) == "a rollback"
    newer = lock.join_queue(is_urgent=True)
    assert lock.who_goes_first(rollback) == lock.who_goes_first(routine) == "a rollback"
    lock.leave_queue(newer)
    assert not lock.who_goes_first(lock.join_queue()), "one that has begun keeps nobody from waiting for it"


def test_an_urgent_one_that_was_killed_keeps_nobody_waiting(tmp_path: Path) -> None:
    lock = EnvironmentLock(tmp_path, "local")
    program = WAITS.replace("join_queue()", "join_queue(is_urgent=True)")
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        other.stdout.readline()
        mine = lock.join_queue()
        assert lock.who_goes_first(mine) == "a rollback"
        os.kill(other.pid, signal.SIGKILL)
        eventually(lambda: not lock.who_goes_first(mine))


def test_one_that_was_killed_while_it_waited_keeps_nobody_waiting(tmp_path: Path) -> None:
    lock = EnvironmentLock(tmp_path, "local")
    mine = lock.join_queue()
    with subprocess.Popen([sys.executable, "-c", WAITS, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert int(other.stdout.readline()) > mine
        assert lock.who_goes_first(mine)
        os.kill(other.pid, signal.SIGKILL)
        eventually(lambda: not lock.who_goes_first(mine))
    assert not lock.who_goes_first(lock.join_queue())
