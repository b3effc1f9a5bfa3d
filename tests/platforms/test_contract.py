"""What every platform keeps: the words of the interface, checked against each in the same way."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import AbreastError, PlatformError
from abreast.core.model import Version
from abreast.platforms.interface import Platform, VersionRef
from platform_harness import HARNESSES, EmulatedHarness, LocalHarness, PlatformHarness

CLOUDS = [name for name, kind in HARNESSES.items() if issubclass(kind, EmulatedHarness) and kind.provider]
SHOWING = [name for name in CLOUDS if HARNESSES[name].detects_external_changes]


@pytest.fixture(params=list(HARNESSES))
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PlatformHarness]:
    with ExitStack() as cleanup:
        yield HARNESSES[request.param](tmp_path, cleanup)


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PlatformHarness]:
    with ExitStack() as cleanup:
        yield HARNESSES[request.param](tmp_path, cleanup)


def test_users_stay_until_the_turn_and_come_back(subject: PlatformHarness) -> None:
    one = subject.stage("one")
    assert subject.served_commit() == ""
    subject.switch_traffic(one)
    assert subject.served_commit() == subject.commit("one")
    two = subject.stage("two")
    assert subject.served_commit() == subject.commit("one")
    subject.switch_traffic(two)
    assert subject.served_commit() == subject.commit("two")
    subject.switch_traffic(one)
    assert subject.served_commit() == subject.commit("one")


def test_a_second_call_changes_nothing(subject: PlatformHarness) -> None:
    one = subject.stage("one")
    assert subject.stage("one") == one
    subject.switch_traffic(one)
    subject.switch_traffic(one)
    assert subject.stage("one") == one
    assert (subject.version_count(), subject.served_commit()) == (1, subject.commit("one"))


def test_what_a_process_left_half_way_is_found_again(subject: PlatformHarness) -> None:
    """The verbs are cut off at more and more awaits, as a process that dies; the next one goes on from there."""
    subject.deploy("one")
    for steps in (*range(1, 25, 3), 30, 40, 60, 100, 200, 400, 1000, 2000):
        if _cut_off(subject, "two", steps):
            break
    else:
        pytest.fail("the verbs never came to their end")
    subject.deploy("two")
    assert (subject.version_count(), subject.served_commit()) == (2, subject.commit("two"))


def _cut_off(subject: PlatformHarness, name: str, steps: int) -> bool:
    """Stage and turn, but stop after this many turns of the loop; return whether it was all done by then."""
    order = subject.order(name)

    async def work(platform: Platform) -> bool:
        async def both() -> None:
            version = await platform.stage(order, subject.report)
            await platform.switch_traffic([subject.move(version)], subject.report)

        doing = asyncio.ensure_future(both())
        for _ in range(steps):
            await asyncio.sleep(0.005)
        done = doing.done()
        doing.cancel()
        await asyncio.wait([doing])
        return done

    return subject.run(work)


def test_one_that_is_given_up_goes_and_users_stay(subject: PlatformHarness) -> None:
    one = subject.deploy("one")
    subject.stage("two")
    subject.retire("two")
    subject.retire("two", "never-was")
    assert (subject.version_count(), subject.served_commit()) == (1, subject.commit("one"))
    assert _seen(subject, one)


def test_what_is_there_is_seen(subject: PlatformHarness) -> None:
    one = subject.deploy("one")
    assert _seen(subject, one)
    assert not _seen(subject, Version("never-was", subject.service.name, (), "", handle=dict.fromkeys(one.handle, "x")))


def _seen(subject: PlatformHarness, version: Version) -> bool:
    named = VersionRef(subject.service, version.id, version.handle)
    return subject.run(lambda platform: platform.observe([named]))[version.id].present


@pytest.mark.parametrize("cloud", SHOWING, indirect=True)
def test_what_users_reach_is_known_whoever_put_it_there(cloud: PlatformHarness) -> None:
    assert cloud.live_version() is None
    cloud.deploy("one")
    there = cloud.live_version()
    assert there
    cloud.deploy("two")
    cloud.switch_traffic(there)
    assert cloud.served_commit() == cloud.commit("one")


@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_wrong_or_missing_token_is_said_without_it(cloud: PlatformHarness, token: str) -> None:
    assert cloud.provider
    with pytest.raises(PlatformError, match="refused" if token else "missing") as raised:
        cloud.live_version(token)
    assert cloud.provider.token_variable in str(raised.value)
    assert cloud.provider.scope in str(raised.value)
    assert "wrong" not in str(raised.value).replace("is wrong", "")


def test_the_doctor_looks_and_changes_nothing(subject: PlatformHarness) -> None:
    for deploy in (False, True):
        if deploy:
            subject.deploy("one")
        before = subject.version_count()
        remarks = subject.diagnose()
        assert {one.level for one in remarks} <= {
            DiagnosticSeverity.OK,
            DiagnosticSeverity.WARNING,
            DiagnosticSeverity.UNKNOWN,
        }
        assert subject.version_count() == before


def test_nothing_of_it_runs_here_after_down(subject: PlatformHarness) -> None:
    subject.deploy("one")
    subject.stop_all()
    assert subject.served_commit() == ("" if isinstance(subject, LocalHarness) else subject.commit("one"))


def test_errors_are_of_our_kind(subject: PlatformHarness) -> None:
    gone = Version(
        "gone",
        subject.service.name,
        (),
        "",
        handle=dict.fromkeys(("site", "deploy", "commit", "revision", "version", "release", "space", "of"), "gone"),
    )
    with pytest.raises(AbreastError):
        subject.switch_traffic(gone)
