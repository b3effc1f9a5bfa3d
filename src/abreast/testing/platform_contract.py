"""The contract that every platform must keep, as tests.

Run it on a platform of your own::

    class TestShelf(PlatformContract):
        @pytest.fixture
        def harness(self, tmp_path):
            return ShelfHarness(tmp_path)

The tests use nothing but the port (``abreast.platforms.interface``) and what users get over HTTP.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import AbreastError
from abreast.core.maintenance import MaintenanceMode
from abreast.core.model import Service, Version
from abreast.platforms.interface import (
    Diagnoses,
    MaintenanceMove,
    Platform,
    ReportsLiveVersion,
    RunsHere,
    StageRequest,
    SupportsMaintenance,
    TrafficMove,
    VersionRef,
)

T = TypeVar("T")

COMMITS: Mapping[str, str] = {"one": "1" * 40, "two": "2" * 40}
"""The versions that the tests stage, and the commits that they must answer with."""


MAINTENANCE = MaintenanceMode("a test", "the contract", "2026-11-21T01:02:03.456Z")
"""What users get in the tests of maintenance."""


class PlatformHarness(ABC):
    """One service on the platform under test. Each version of it answers with ``{"commit": "<40 hex digits>"}``.

    ``service`` is what abreast.yml would describe; ``folder`` is an empty folder for the harness.
    """

    service: Service
    env: ClassVar[Mapping[str, str]] = {"ABREAST_RELEASE": "-"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[str] = []

    @abstractmethod
    def create_platform(self) -> Platform:
        """Return the platform as a new process would create it, with nothing remembered."""

    @abstractmethod
    def stage_request(self, name: str) -> StageRequest:
        """Return what to stage for the version ``name``, with an artifact that answers with ``self.commit(name)``."""

    @abstractmethod
    def version_count(self) -> int:
        """Return how many versions the platform keeps, staged or live."""

    @property
    @abstractmethod
    def public_url(self) -> str:
        """Where users reach the service."""

    @asynccontextmanager
    async def open_platform(self) -> AsyncIterator[Platform]:
        """Create the platform for the block; override it to close connections at the end."""
        yield self.create_platform()

    def commit(self, name: str) -> str:
        """Return the commit of the version ``name``."""
        return COMMITS.get(name, "0" * 40)

    def run(self, work: Callable[[Platform], Awaitable[T]]) -> T:
        """Run ``work`` on a new platform object, as a process of its own would."""

        async def run_with_platform() -> T:
            async with self.open_platform() as platform:
                return await work(platform)

        return asyncio.run(run_with_platform())

    def stage(self, name: str) -> Version:
        """Stage the version ``name``."""
        request = self.stage_request(name)
        return self.run(lambda platform: platform.stage(request, self.report))

    def switch_traffic(self, version: Version) -> None:
        """Move users to a version."""
        self.run(lambda platform: platform.switch_traffic([self.traffic_move(version)], self.report))

    def deploy(self, name: str) -> Version:
        """Stage the version ``name`` and move users to it."""
        version = self.stage(name)
        self.switch_traffic(version)
        return version

    def retire(self, *ids: str) -> None:
        """Retire versions by id."""
        self.run(lambda platform: platform.retire([VersionRef(self.service, id_) for id_ in ids], 1))

    def is_present(self, version: Version) -> bool:
        """Return whether the platform observes a version."""
        reference = VersionRef(self.service, version.id, version.handle)
        return self.run(lambda platform: platform.observe([reference]))[version.id].present

    def live_version(self) -> Version | None:
        """Return what users reach, from a platform that reports it."""

        async def ask(platform: Platform) -> Version | None:
            assert isinstance(platform, ReportsLiveVersion)
            return await platform.live_version(self.service)

        return self.run(ask)

    def diagnosed_severities(self) -> set[DiagnosticSeverity]:
        """Return the severities of what the platform diagnoses; none where it cannot."""

        async def ask(platform: Platform) -> set[DiagnosticSeverity]:
            found = await platform.diagnose(self.service) if isinstance(platform, Diagnoses) else ()
            return {diagnostic.level for diagnostic in found}

        return self.run(ask)

    def stop_all(self) -> None:
        """Stop what runs on this machine."""

        async def stop(platform: Platform) -> None:
            if isinstance(platform, RunsHere):
                await platform.stop_all()

        self.run(stop)

    def runs_here(self) -> bool:
        """Return whether the platform runs versions on this machine."""
        return isinstance(self.create_platform(), RunsHere)

    def switch_maintenance(self, mode: MaintenanceMode | None) -> None:
        """Begin or end maintenance of the service."""

        async def switch(platform: Platform) -> None:
            assert isinstance(platform, SupportsMaintenance)
            await platform.switch_maintenance([MaintenanceMove(self.service, mode)], self.report)

        self.run(switch)

    def served_status(self) -> int:
        """Return the status with which users are answered."""
        try:
            with urlopen(self.public_url, timeout=10) as answer:  # noqa: S310 (the platform's own address)
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    def traffic_move(self, version: Version) -> TrafficMove:
        """Return the move of users to a version."""
        return TrafficMove(self.service, version, {**self.env, "ABREAST_COMMIT": self.commit(version.id)})

    async def report(self, service: str, text: str) -> None:
        """Keep a line of progress."""
        assert service == self.service.name
        self.reports.append(text)

    def served_commit(self) -> str:
        """Return the commit that users get, "" while they get none."""
        try:
            with urlopen(self.public_url, timeout=10) as answer:  # noqa: S310 (the platform's own address)
                return str(json.loads(answer.read())["commit"])
        except HTTPError as error:
            with error:
                return ""
        except (ValueError, OSError, TypeError):
            return ""


class PlatformContract:
    """What every platform keeps. A subclass gives the fixture ``harness``."""

    def test_users_stay_until_traffic_switches_and_can_come_back(self, harness: PlatformHarness) -> None:
        """Staging is invisible, and switching back is the same verb."""
        first = harness.stage("one")
        assert harness.served_commit() == ""
        harness.switch_traffic(first)
        assert harness.served_commit() == harness.commit("one")
        two = harness.stage("two")
        assert harness.served_commit() == harness.commit("one")
        harness.switch_traffic(two)
        assert harness.served_commit() == harness.commit("two")
        harness.switch_traffic(first)
        assert harness.served_commit() == harness.commit("one")

    def test_a_second_call_changes_nothing(self, harness: PlatformHarness) -> None:
        """Each verb is idempotent."""
        first = harness.stage("one")
        assert harness.stage("one") == first
        harness.switch_traffic(first)
        harness.switch_traffic(first)
        assert harness.stage("one") == first
        assert (harness.version_count(), harness.served_commit()) == (1, harness.commit("one"))

    def test_a_cut_off_verb_is_finished_by_the_next_process(self, harness: PlatformHarness) -> None:
        """The verbs are cut off at more and more awaits, as if the process died; a new one goes on from there."""
        harness.deploy("one")
        for steps in (*range(1, 25, 3), 30, 40, 60, 100, 200, 400, 1000, 2000):
            if _cut_off(harness, "two", steps):
                break
        else:
            pytest.fail("the verbs never ended")
        harness.deploy("two")
        assert (harness.version_count(), harness.served_commit()) == (2, harness.commit("two"))

    def test_a_discarded_candidate_goes_and_users_stay(self, harness: PlatformHarness) -> None:
        """Retiring is safe to repeat, also for unknown ids."""
        first = harness.deploy("one")
        harness.stage("two")
        harness.retire("two")
        harness.retire("two", "never-was")
        assert (harness.version_count(), harness.served_commit()) == (1, harness.commit("one"))
        assert harness.is_present(first)

    def test_a_version_is_observed_if_it_is_there(self, harness: PlatformHarness) -> None:
        """An unknown version is not present, and that is no error."""
        first = harness.deploy("one")
        assert harness.is_present(first)
        unknown = Version("never-was", harness.service.name, (), "", handle=dict.fromkeys(first.handle, "x"))
        assert not harness.is_present(unknown)

    def test_diagnosing_changes_nothing(self, harness: PlatformHarness) -> None:
        """``abreast doctor`` finds no fault in a service that can be deployed."""
        for deploy in (False, True):
            if deploy:
                harness.deploy("one")
            before = harness.version_count()
            assert DiagnosticSeverity.FAULT not in harness.diagnosed_severities()
            assert harness.version_count() == before

    def test_nothing_runs_on_this_machine_after_stop_all(self, harness: PlatformHarness) -> None:
        """What runs elsewhere stays."""
        harness.deploy("one")
        harness.stop_all()
        assert harness.served_commit() == ("" if harness.runs_here() else harness.commit("one"))

    def test_errors_are_abreast_errors(self, harness: PlatformHarness) -> None:
        """Traffic cannot be moved to a version that is gone, and the error is one that abreast can show."""
        first = harness.stage("one")
        gone = Version("gone", harness.service.name, (), "", handle=dict.fromkeys(first.handle, "gone"))
        with pytest.raises(AbreastError):
            harness.switch_traffic(gone)


class LiveVersionContract:
    """What a platform keeps that reports the live version (``ReportsLiveVersion``)."""

    def test_the_live_version_is_known_whoever_published_it(self, harness: PlatformHarness) -> None:
        """Users can be moved back to it."""
        assert harness.live_version() is None
        harness.deploy("one")
        live = harness.live_version()
        assert live
        harness.deploy("two")
        harness.switch_traffic(live)
        assert harness.served_commit() == harness.commit("one")


class MaintenanceContract:
    """What a platform keeps that has maintenance (``SupportsMaintenance``)."""

    def test_users_get_a_page_and_then_what_was_live(self, harness: PlatformHarness) -> None:
        """A second call changes nothing, and ending what never began is fine."""
        harness.deploy("one")
        for mode in (None, MAINTENANCE, MAINTENANCE):
            harness.switch_maintenance(mode)
            assert harness.served_status() == (503 if mode else 200)
        for _ in range(2):
            harness.switch_maintenance(None)
            assert harness.served_commit() == harness.commit("one")

    def test_traffic_switches_behind_the_page(self, harness: PlatformHarness) -> None:
        """Users get what is live when it ends, in both directions."""
        first = harness.deploy("one")
        harness.switch_maintenance(MAINTENANCE)
        harness.deploy("two")
        assert harness.served_status() == 503
        harness.switch_traffic(first)
        assert harness.served_status() == 503
        harness.switch_maintenance(None)
        assert harness.served_commit() == harness.commit("one")


class WorkerContract:
    """What a platform keeps that runs workers. The service of ``harness`` is one."""

    def test_a_worker_has_no_address(self, harness: PlatformHarness) -> None:
        """Its platform alone says whether it runs."""
        version = harness.deploy("one")
        assert (version.url, version.probes, version.live_probes) == ("", (), ())
        assert harness.is_present(version)
        assert DiagnosticSeverity.FAULT not in harness.diagnosed_severities()

    def test_the_previous_worker_comes_back(self, harness: PlatformHarness) -> None:
        """A turn-back needs nothing but the verb that switched, and a discarded worker is gone."""
        first = harness.deploy("one")
        second = harness.deploy("two")
        assert harness.is_present(second)
        harness.switch_traffic(first)
        harness.retire("two")
        harness.retire("two", "never-was")
        assert harness.is_present(first)
        assert not harness.is_present(second)

    def test_a_second_call_changes_nothing(self, harness: PlatformHarness) -> None:
        """Each verb is idempotent."""
        first = harness.deploy("one")
        assert harness.stage("one") == first
        harness.switch_traffic(first)
        assert harness.version_count() == 1


def _cut_off(harness: PlatformHarness, name: str, steps: int) -> bool:
    """Stage and switch, but stop after ``steps`` turns of the loop; return whether all was done by then."""
    request = harness.stage_request(name)

    async def work(platform: Platform) -> bool:
        async def stage_and_switch() -> None:
            version = await platform.stage(request, harness.report)
            await platform.switch_traffic([harness.traffic_move(version)], harness.report)

        doing = asyncio.ensure_future(stage_and_switch())
        for _ in range(steps):
            await asyncio.sleep(0.005)
        done = doing.done()
        doing.cancel()
        await asyncio.wait([doing])
        return done

    return harness.run(work)
