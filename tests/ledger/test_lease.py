"""A lease: one holder at a time, taken over when it is dead, never while it shows that it is alive."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from abreast.core.errors import LeaseLostError
from abreast.ledger import lease as lease_module
from abreast.ledger.entries import EntryKind
from abreast.ledger.homes.interface import HomeAwayError
from abreast.ledger.lease import LeasedLock
from abreast.ledger.mirror import Mirror
from sample_project import eventually
from state_worlds import World

EXPIRY = 3.0
WHO = {"since": "2026-11-21T01:02:03Z"}

HOLDS = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.postgres import PostgresHome
from abreast.ledger.lease import LeasedLock
from abreast.ledger.mirror import Mirror
mirror = Mirror.open(Path(sys.argv[1]), lambda: datetime.now(UTC))
mirror.home = {home}
with LeasedLock(Path(sys.argv[1]), "production", mirror, 3.0).try_acquire({{"since": "now"}}) as held:
    print(held, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lock(tmp_path: Path, open_mirror: Callable[[str], Mirror]) -> Callable[[str], tuple[LeasedLock, Mirror]]:
    """Open a machine's lock, with its mirror."""

    def open_lock(name: str) -> tuple[LeasedLock, Mirror]:
        found = open_mirror(name)
        return LeasedLock(tmp_path / f"locks-{name}", "production", found, EXPIRY), found

    return open_lock


Locks = Callable[[str], tuple[LeasedLock, Mirror]]


@pytest.fixture
def other_machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Call it with True, and what this process takes is of another machine; with False, of this one again."""
    real = lease_module.process_namespace

    def choose(is_other: bool) -> None:
        monkeypatch.setattr(lease_module, "process_namespace", (lambda: "pid:[elsewhere]") if is_other else real)

    return choose


def test_one_holds_it_at_a_time(lock: Locks) -> None:
    (one, here), (other, there) = lock("one"), lock("other")
    with one.try_acquire(WHO) as held:
        assert held
        assert here.fence == "production/1"
        with other.try_acquire(WHO) as held_too:
            assert not held_too
        assert not other.is_free()
        assert other.holder_pid().startswith(f"{os.getpid()} on ")
    here.push()
    other._next_look = 0
    with other.try_acquire(WHO) as held:
        assert held
        assert there.fence == "production/3", "the second number gave it back"
    assert here.fence == there.fence == ""


def test_the_holder_is_the_run_whose_machine_vanishes(open_mirror: Callable[[str], Mirror], tmp_path: Path) -> None:
    run = "https://github.com/shop/web/actions/runs/77/attempts/1"
    lock = LeasedLock(tmp_path / "here", "production", open_mirror("one"), EXPIRY, run)
    with lock.try_acquire(WHO) as held:
        assert held
        other = LeasedLock(tmp_path / "there", "production", open_mirror("other"), EXPIRY)
        with other.try_acquire(WHO) as held_too:
            assert not held_too
        assert other.holder_pid() == f"{os.getpid()} of {run}"


def test_one_command_holds_several_environments(open_mirror: Callable[[str], Mirror], tmp_path: Path) -> None:
    mirror = open_mirror("one")
    names = ("production", "staging")
    with ExitStack() as held:
        for name in names:
            lock = LeasedLock(tmp_path / "locks", name, mirror, EXPIRY)
            assert held.enter_context(lock.try_acquire(WHO))
        assert all(mirror.lease(name)[1] for name in names)
    assert [mirror.lease(name) for name in names] == [(2, None), (2, None)]
    assert mirror.fence == ""


def test_a_holder_that_was_killed_here_is_followed_at_once(state_world: World, lock: Locks, tmp_path: Path) -> None:
    state_world.home("dead").close()
    code = HOLDS.format(home=state_world.source("dead"))
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "dead-state"], stdout=subprocess.PIPE, text=True
    ) as dead:
        assert dead.stdout
        assert dead.stdout.readline() == "True\n"
        next_one, mirror = lock("next")
        with next_one.try_acquire(WHO) as held:
            assert not held
        os.kill(dead.pid, signal.SIGKILL)
    next_one._next_look = 0
    with next_one.try_acquire(WHO) as held:
        assert held
        assert mirror.fence == "production/2"


def test_a_holder_elsewhere_is_followed_when_it_shows_no_life(
    lock: Locks, other_machine: Callable[[bool], None]
) -> None:
    (frozen, its_mirror), (waiting, _) = lock("one"), lock("other")
    other_machine(True)
    with frozen.try_acquire(WHO) as held:
        assert held
        other_machine(False)
        began = time.monotonic()
        while time.monotonic() - began < 1.5 * EXPIRY:
            with waiting.try_acquire(WHO) as taken:
                assert not taken, "it beats"
            time.sleep(0.3)
        its_mirror.home.beat = lambda environment: None  # type: ignore[method-assign]

        def follows() -> bool:
            with waiting.try_acquire(WHO) as taken:
                return taken

        eventually(follows)
        with pytest.raises(LeaseLostError, match="took over production"):
            its_mirror.pull()
        with pytest.raises(LeaseLostError), its_mirror.transaction():
            its_mirror.append(EntryKind.EVENT, "D1", "late", {"chapter": None, "state": None})


def test_without_an_answer_of_the_home_nobody_takes_it(state_world: World, lock: Locks) -> None:
    one, _ = lock("one")
    state_world.away()
    try:
        with pytest.raises(HomeAwayError), one.try_acquire(WHO):
            pytest.fail("taken")
    finally:
        state_world.back()
    with one.try_acquire(WHO) as held:
        assert held


def test_of_two_that_take_it_at_once_one_has_it(tmp_path: Path, lock: Locks) -> None:
    (one, here), (other, there) = lock("one"), lock("other")
    here.pull()
    there.pull()
    with one.try_acquire(WHO) as held:
        assert held
        assert not there.settle(other._record(1, WHO))
        assert there.lease("production")[1] == here.lease("production")[1]
