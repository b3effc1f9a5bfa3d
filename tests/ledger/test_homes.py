"""A ledger's home elsewhere: what one appends all read, once and in one order, whoever is killed or cut off."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import postgres_server
from abreast.core.errors import StateError
from abreast.core.events import Event, EventKind
from abreast.core.plan import DeploymentKind, OnFailure, Plan
from abreast.core.states import DeploymentState
from abreast.ledger.entries import EntryKind
from abreast.ledger.hash_chain import Link, chain
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.interface import HomeAwayError
from abreast.ledger.homes.postgres import PostgresHome
from abreast.ledger.mirror import Mirror
from abreast.ledger.sqlite import SqliteLedger
from state_worlds import GitWorld, World, git, start_writer


def record(mirror: Mirror, *keys: str) -> None:
    with mirror.transaction():
        for key in keys:
            mirror.append(EntryKind.EVENT, "D1", key, {"chapter": None, "state": None})


def keys(mirror: Mirror) -> list[str]:
    return [entry.key for _, entry in mirror.entries(EntryKind.EVENT, "D1")]


def test_a_home_keeps_one_chain(state_world: World) -> None:
    one, other = state_world.home("one"), state_world.home("other")
    assert list(one.read(0)) == list(other.read(0)) == []
    first = chain(None, ["a", "b"])
    assert one.append(None, first)
    assert not other.append(None, chain(None, ["x"]))
    assert list(other.read(0)) == first
    assert list(other.read(1)) == first[1:]
    second = chain(first[-1], ['"ü\n', "d"])
    assert other.append(first[-1], second)
    assert not one.append(first[-1], chain(first[-1], ["late"]))
    assert list(one.read(0)) == [*first, *second]
    assert one.append(first[-1], second) or list(one.read(2)) == second
    assert [link.seq for link in one.read(0)] == [1, 2, 3, 4]
    for home in (one, other):
        home.close()


def test_a_sign_of_life_is_seen_by_others(state_world: World) -> None:
    one, other = state_world.home("one"), state_world.home("other")
    seen = [other.last_beat("production")]
    for _ in range(2):
        one.beat("production")
        seen.append(other.last_beat("production"))
    assert seen[0] == ""
    assert len(set(seen)) == 3
    assert other.last_beat("staging") == ""
    for home in (one, other):
        home.close()


def test_what_one_records_the_other_reads(open_mirror: Callable[[str], Mirror]) -> None:
    one, other = open_mirror("one"), open_mirror("other")
    record(one, "a", "b")
    assert len(one.pending()) == 2
    one.push()
    assert not one.pending()
    other.pull()
    assert keys(other) == ["a", "b"]
    assert one.find_damage() == other.find_damage() == ""


def test_of_two_writers_one_goes_first(open_mirror: Callable[[str], Mirror]) -> None:
    one, other = open_mirror("one"), open_mirror("other")
    record(one, "a")
    record(other, "b", "c")
    other.push()
    one.push()
    other.pull()
    assert keys(one) == ["a", "b", "c"], "in the order in which they came here"
    assert keys(other) == ["b", "c", "a"]
    assert one.last_link() == other.last_link()
    assert one.find_damage() == other.find_damage() == ""


def test_who_has_appended_just_now_need_not_read(
    open_mirror: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = open_mirror("one"), open_mirror("other")
    reads, read = list[int](), one.home.read

    def counted(after: int) -> Sequence[Link]:
        reads.append(after)
        return read(after)

    monkeypatch.setattr(one.home, "read", counted)
    record(one, "a")
    one.push()
    one.pull(60)
    assert reads == []
    record(other, "b")
    other.push()
    one.pull(0)
    assert (reads, keys(one)) == ([1], ["a", "b"])
    record(other, "c")
    other.push()
    record(one, "d")
    one.push()
    assert (reads, one.pending()) == ([1, 2], []), "who is refused reads first"
    assert sorted(keys(one)) == ["a", "b", "c", "d"]


def test_processes_of_one_machine_share_a_mirror(state_world: World, open_mirror: Callable[[str], Mirror]) -> None:
    """Here: two connections to one file, one of which only looks, as a status beside a deployment does."""
    deploying, looking = open_mirror("one"), open_mirror("one")
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            looking.pull()
            looking.push()

    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(look)
        for number in range(40):
            record(deploying, f"{number}a", f"{number}b")
            deploying.push()
        done.set()
        looked.result()
    other = open_mirror("other")
    other.pull()
    assert keys(other) == keys(deploying) == [f"{number}{letter}" for number in range(40) for letter in "ab"]
    assert other.find_damage() == deploying.find_damage() == ""


def test_a_fetch_of_another_process_that_ends_late_is_no_loss(tmp_path: Path) -> None:
    """Two processes of one clone fetch at the same time: the ref is where the slower one saw it."""
    world, ref = GitWorld(tmp_path / "git"), "refs/abreast/shop/ledger"
    mirrors = [Mirror.open(tmp_path / name, lambda: datetime.now(UTC)) for name in ("one", "other")]
    for name, mirror in zip(("one", "other"), mirrors, strict=True):
        mirror.home = world.home(name)
    one, other = mirrors
    record(one, "a")
    one.push()
    other.pull()
    record(other, "b")
    other.push()
    record(one, "c")

    class LateFetch(GitHome):
        late = True

        def _fetch(self) -> bool:
            before = self._tip()
            is_there = super()._fetch()
            if self.late:
                git(self._folder, "update-ref", ref, before)
            self.late = False
            return is_there

    one.home = LateFetch(tmp_path / "git" / "one", "shop", "origin")
    one.push()
    assert keys(one) == ["a", "c", "b"]
    other.pull()
    assert keys(other) == ["a", "b", "c"]
    for mirror in mirrors:
        mirror.close()


def test_what_two_say_of_one_thing_is_said_once(open_mirror: Callable[[str], Mirror]) -> None:
    one, other = open_mirror("one"), open_mirror("other")
    for machine, reason in ((one, "first"), (other, "second")):
        with machine.transaction():
            machine.append(EntryKind.REQUEST, "D1", "cancel", {"reason": reason})
    one.push()
    other.push()
    assert [entry.data["reason"] for _, entry in other.entries(EntryKind.REQUEST, "D1")] == ["first"]


def test_two_that_number_a_release_get_two_numbers(open_mirror: Callable[[str], Mirror]) -> None:
    ledgers = [SqliteLedger(open_mirror(name)) for name in ("one", "other")]
    assert [ledger.reserve_version("shop", "c" * 40) for ledger in ledgers] == ["v1", "v2"]
    assert [release.version for release in ledgers[1].releases()] == ["v2", "v1"]


def test_two_that_number_one_commit_at_the_same_moment_get_two_numbers(open_mirror: Callable[[str], Mirror]) -> None:
    mirrors, moment = [open_mirror(name) for name in ("one", "other")], datetime.now(UTC)
    for mirror in mirrors:
        mirror.pull()
        mirror._clock = lambda: moment
    assert [SqliteLedger(mirror).reserve_version("shop", "c" * 40) for mirror in mirrors] == ["v1", "v2"]


def test_who_lost_the_environment_records_nothing_more(open_mirror: Callable[[str], Mirror]) -> None:
    frozen, next_one = open_mirror("one"), open_mirror("other")
    for machine in (frozen, next_one):
        machine.pull()
    take(frozen, 1)
    SqliteLedger(frozen).record_plan(plan("D1"))
    frozen.push()
    SqliteLedger(frozen).append_events(Event("D1", "running", EventKind.STATE, state=DeploymentState.RUNNING))
    next_one.pull()
    take(next_one, 2)
    record(next_one, "taken over")
    next_one.push()
    with pytest.raises(StateError, match="took over production"):
        frozen.push()
    assert keys(frozen) == ["planned", "taken over"], "what nobody had seen is taken back"
    assert SqliteLedger(frozen).deployment("D1").state is DeploymentState.WAITING
    with pytest.raises(StateError, match="took over production"):
        record(frozen, "late")
    assert frozen.find_damage() == next_one.find_damage() == ""


def take(mirror: Mirror, number: int) -> None:
    with mirror.transaction() as appended:
        mirror.append(EntryKind.LEASE, "production", str(number), {"holder": {"pid": number}})
    assert mirror.settle(appended)
    mirror.fence = f"production/{number}"


def plan(id: str) -> Plan:
    return Plan(id, DeploymentKind.DEPLOY, "shop", "production", "v1", "c" * 40, (), 1, 1, OnFailure.TOGETHER, "", "me")


def test_a_home_that_is_away_loses_nothing(state_world: World, open_mirror: Callable[[str], Mirror]) -> None:
    one = open_mirror("one")
    record(one, "a")
    one.push()
    state_world.away()
    try:
        record(one, "b")
        with pytest.raises(HomeAwayError):
            one.push()
        assert one.flush(0) != ""
        with pytest.raises(StateError):
            SqliteLedger(one).reserve_version("shop", "c" * 40)
        assert not SqliteLedger(one).releases(), "a number that others do not know is none"
        assert keys(one) == ["a", "b"]
    finally:
        state_world.back()
    assert one.flush(30) == ""
    other = open_mirror("other")
    other.pull()
    assert keys(other) == ["a", "b"]


def test_a_chain_that_was_changed_or_cut_off_is_refused(
    state_world: World, open_mirror: Callable[[str], Mirror]
) -> None:
    one = open_mirror("one")
    for key in "abc":
        record(one, key)
        one.push()
    state_world.cut_off()
    record(one, "d")
    with pytest.raises(StateError, match="has lost what was recorded"):
        one.push()
    with closing(state_world.home("again")) as home:
        assert len(home.read(0)) == 2
    state_world.change('"key": "b"', '"key": "B"')
    other = open_mirror("other")
    with pytest.raises(StateError, match=r"entry \d does not follow"):
        other.pull()
    assert keys(other) == []


@pytest.mark.exhaustive
@pytest.mark.timeout(240)
def test_many_writers_killed_at_random_lose_and_double_nothing(
    state_world: World, open_mirror: Callable[[str], Mirror], tmp_path: Path
) -> None:
    count, names = 40, ("w1", "w2", "w3")
    for name in names:
        state_world.home(name).close()

    def start(name: str) -> subprocess.Popen[str]:
        return start_writer(state_world, tmp_path / f"state-{name}", name, count, portion=3)

    running = {name: start(name) for name in names}
    for victim in (*names, *names):
        process = running[victim]
        assert process.stdout
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        running[victim] = start(victim)
    for process in running.values():
        process.communicate()
        assert process.returncode == 0
    reader = open_mirror("reader")
    reader.pull()
    for name in names:
        assert [entry.key for _, entry in reader.entries(EntryKind.EVENT, name)] == [str(n) for n in range(count)]
    assert reader.find_damage() == ""


def test_a_push_whose_answer_is_lost_is_not_repeated(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    home = world.home("one")
    hook = world.hook(world.remote / "hooks" / "post-receive", "kill -9 $PPID")
    links = chain(None, ["a"])
    assert home.append(None, links)
    hook.unlink()
    assert list(world.home("other").read(0)) == links


def test_a_ref_that_another_machine_makes_meanwhile_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = GitWorld(tmp_path)
    home, other, links = GitHome(tmp_path / "one", "shop", "origin"), world.home("other"), chain(None, ["a"])
    world.home("one")
    look = home._remote_tip

    def look_late(ref: str) -> str:
        assert other.append(None, links)
        return look(ref)

    monkeypatch.setattr(home, "_remote_tip", look_late)
    assert list(home.read(0)) == links


def test_the_ref_is_no_branch_and_runs_no_hook_of_the_clone(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    home = world.home("one")
    world.hook(tmp_path / "one" / ".git" / "hooks" / "pre-push", "exit 1")
    assert home.append(None, chain(None, ["a"]))
    assert git(world.remote, "branch", "--all") == ""
    git(tmp_path, "clone", "--quiet", str(world.remote), "plain")
    assert git(tmp_path / "plain", "for-each-ref") == ""


def test_garbage_in_the_ref_is_named(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    home = world.home("one")
    assert home.append(None, chain(None, ["a"]))
    (tmp_path / "one" / "x").write_text("x")
    git(tmp_path / "one", "add", "x")
    git(tmp_path / "one", "-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "-m", "mine")
    git(tmp_path / "one", "push", "--quiet", "--force", "origin", "HEAD:refs/abreast/shop/ledger")
    with pytest.raises(StateError, match=r"commit .* mine is not abreast's"):
        world.home("other").read(0)


def test_without_the_right_to_push_that_is_said(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    home = world.home("one")
    world.hook(world.remote / "hooks" / "pre-receive", "echo 'permission to push denied'\nexit 1")
    with pytest.raises(StateError, match="git push failed") as refused:
        home.append(None, chain(None, ["a"]))
    assert not isinstance(refused.value, HomeAwayError)
    assert "the right to read and push refs/abreast/shop/ledger" in refused.value.need


def test_a_role_without_rights_is_said(tmp_path: Path) -> None:
    role = postgres_server.create_role()
    url = postgres_server.create_database().replace("//postgres:", f"//{role}:")
    home = PostgresHome(url, "shop")
    with pytest.raises(StateError, match="permission denied") as refused:
        home.read(0)
    assert postgres_server.QUOTED_PASSWORD not in str(refused.value)
    assert "may create the schema abreast" in refused.value.need
    home.close()


def test_without_the_driver_of_postgresql_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StateError, match="psycopg is not installed") as refused:
        PostgresHome("postgresql://nobody@127.0.0.1/nothing", "shop").read(0)
    assert refused.value.next == "pip install 'abreast[postgres]'"


def test_two_projects_in_one_home_do_not_meet(state_world: World, tmp_path: Path) -> None:
    one = state_world.home("one")
    other = (
        GitHome(tmp_path / "one", "other", "origin")
        if isinstance(state_world, GitWorld)
        else PostgresHome(state_world.url, "other")
    )
    assert one.append(None, chain(None, ["a"]))
    assert other.append(None, chain(None, ["b"]))
    assert [link.entry for link in one.read(0)] == ["a"]
    for home in (one, other):
        home.close()


def test_what_was_recorded_before_the_environment_was_given_back_stays(open_mirror: Callable[[str], Mirror]) -> None:
    """It goes to its home together with the lease's end, however often others append in between."""
    one, other = open_mirror("one"), open_mirror("other")
    take(one, 1)
    record(one, "the last word")
    with one.transaction():
        one.append(EntryKind.LEASE, "production", "2", {"holder": None})
    one.fence = ""
    other.pull()
    record(other, "something else")
    other.push()
    one.push()
    other.pull()
    assert set(keys(one)) == set(keys(other)) == {"something else", "the last word"}
    assert one.lease("production") == (2, None)
