"""A lease: one holder at a time, taken over when it is dead, never while it shows that it is alive."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from abreast.core.errors import LeaseLostError
from abreast.ledger import lease as lease_module
from abreast.ledger.entries import EntryKind
from abreast.ledger.hash_chain import Link
from abreast.ledger.homes.interface import HomeAwayError
from abreast.ledger.lease import LeasedLock
from abreast.ledger.mirror import Mirror
from abreast.ledger.sqlite import SqliteLedger
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


def count_pushes(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of links of each append to the home."""
    pushes: list[int] = []
    append = mirror.home.append

    def counted(last: Link | None, links: Sequence[Link]) -> bool:
        pushes.append(len(links))
        return append(last, links)

    monkeypatch.setattr(mirror.home, "append", counted)
    return pushes


def next_version(ledger: SqliteLedger) -> Callable[[], None]:
    return lambda: ledger.append_next_version("shop", "c" * 40)


def test_a_version_goes_with_the_lease_in_one_push(lock: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, here), (_, there) = lock("one"), lock("other")
    pushes, ledger = count_pushes(here, monkeypatch), SqliteLedger(here)
    here.start()  # its thread pushes what is recorded, too
    with one.try_acquire(WHO, next_version(ledger)) as held:
        assert held
        assert ledger.reserve_version("shop", "c" * 40) == "v1"
        assert pushes == [2]
        assert SqliteLedger(there).reserve_version("shop", "c" * 40) == "v2"
        assert ledger.reserve_version("shop", "c" * 40) == "v3", "each is given once"


def test_a_version_that_is_not_the_newest_any_more_is_not_used(lock: Locks) -> None:
    (one, here), (_, there) = lock("one"), lock("other")
    ledger = SqliteLedger(here)
    with one.try_acquire(WHO, next_version(ledger)):
        assert SqliteLedger(there).reserve_version("shop", "c" * 40) == "v2"
        here.pull()
        assert ledger.reserve_version("shop", "c" * 40) == "v3"
    one._next_look = 0
    with one.try_acquire(WHO, next_version(ledger)) as held:
        assert held
        assert ledger.reserve_version("shop", "d" * 40) == "v5", "v4 is for another commit"


def test_who_loses_its_number_to_another_has_the_lease_and_takes_the_next(
    open_mirror: Callable[[str], Mirror], tmp_path: Path
) -> None:
    mirrors = [open_mirror("one"), open_mirror("other")]
    for mirror in mirrors:
        mirror.pull()
    with ExitStack() as held:
        versions = []
        for name, mirror in zip(("production", "staging"), mirrors, strict=True):
            ledger = SqliteLedger(mirror)
            lock = LeasedLock(tmp_path / f"locks-{name}", name, mirror, EXPIRY)
            assert held.enter_context(lock.try_acquire(WHO, next_version(ledger)))
            versions.append(ledger.reserve_version("shop", "c" * 40))
        assert versions == ["v1", "v2"]
        assert all(mirror.holds(mirror.fence) for mirror in mirrors)


def test_who_loses_the_environment_to_another_does_not_have_it_because_its_version_stands(
    lock: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, here), (other, there) = lock("one"), lock("other")
    here.pull()
    there.pull()
    append = there.home.append
    with ExitStack() as first:

        def late(last: Link | None, links: Sequence[Link]) -> bool:
            if here.lease("production") == (0, None):
                assert first.enter_context(one.try_acquire(WHO))
            return append(last, links)

        monkeypatch.setattr(there.home, "append", late)
        with other.try_acquire(WHO, next_version(SqliteLedger(there))) as held:
            assert not held
        assert [release.version for release in SqliteLedger(there).releases()] == ["v1"]
        assert there.lease("production")[1] == here.lease("production")[1]
        assert there.fence == ""


def test_a_lease_that_others_cannot_read_leaves_no_version(state_world: World, lock: Locks) -> None:
    one, mirror = lock("one")
    mirror.pull()
    state_world.away()
    try:
        with pytest.raises(HomeAwayError), one.try_acquire(WHO, next_version(SqliteLedger(mirror))):
            pytest.fail("taken")
    finally:
        state_world.back()
    assert not mirror.pending()
    assert not SqliteLedger(mirror).releases()


def test_it_is_free_as_others_left_it(state_world: World, lock: Locks) -> None:
    (one, here), (other, there) = lock("one"), lock("other")
    here.pull()
    with other.try_acquire(WHO):
        assert one.is_free(), "as far as is known here"
        assert not one.is_free(0)
    there.push()
    assert one.is_free(0)
    state_world.away()
    try:
        assert one.is_free()
        with pytest.raises(HomeAwayError):
            one.is_free(0)
    finally:
        state_world.back()
