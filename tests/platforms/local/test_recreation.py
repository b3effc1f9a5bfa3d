"""What the platform does with versions that start in the traffic switch."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from abreast.core.errors import PlatformError
from abreast.core.model import Service, ServiceType, Version
from abreast.core.strategy import Strategy
from abreast.platforms.interface import StageRequest, TrafficMove, VersionRef
from abreast.platforms.local.platform import LocalPlatform
from abreast.platforms.local.supervisor.client import Instance, SupervisorClient
from sample_project import eventually

T = TypeVar("T")
WORKER = """
import fcntl, os, pathlib, signal, sys, time
data = pathlib.Path(os.environ["ABREAST_DATA"])
lock = (data / "lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (data / "refused").touch()
    sys.exit(1)
(data / f"started-{os.getpid()}").touch()
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))
while True:
    time.sleep(0.02)
"""


class Stage:
    """An environment on this machine with one worker that cannot run twice."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.service = Service(
            "jobs", "local", run=f"exec {sys.executable} -S worker.py", instances=1, type=ServiceType.WORKER,
            secrets={"TOKEN": "${TOKEN}"}, strategy=Strategy.RECREATE,
        )  # fmt: skip
        (folder / "artifact").mkdir()
        (folder / "artifact" / "worker.py").write_text(WORKER)

    def run(self, work: Callable[[LocalPlatform], Awaitable[T]]) -> T:
        """Do something as a new process."""

        async def create_and_work() -> T:
            return await work(LocalPlatform(self.home, self.folder / "logs", {"PATH": os.environ["PATH"]}))

        return asyncio.run(create_and_work())

    def stage(self, version: str) -> Version:
        request = StageRequest(version, self.service, "1" * 40, self.folder / "artifact", "sha256:1", None)
        return self.run(lambda local: local.stage(request, _report))

    def switch(self, version: Version, env: dict[str, str] | None = None) -> None:
        move = TrafficMove(self.service, version, {"TOKEN": "x"} if env is None else env, frozenset({"TOKEN"}))
        self.run(lambda local: local.switch_traffic([move], _report))

    def instances(self) -> tuple[Instance, ...]:
        return SupervisorClient(self.home).instances()

    def running(self) -> list[str]:
        return [instance.id for instance in self.instances() if instance.id != "router"]


async def _report(_: str, __: str) -> None:
    pass


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(tmp_path)
    yield found
    found.run(lambda local: local.stop_all())


def test_what_starts_in_the_switch_is_not_there_before(stage: Stage) -> None:
    one = stage.stage("jobs-1")
    reference = VersionRef(stage.service, one.id, one.handle)
    assert not stage.run(lambda local: local.observe([reference]))[one.id].present
    assert stage.running() == []
    stage.switch(one)
    assert stage.run(lambda local: local.observe([reference]))[one.id].present


def test_one_that_a_killed_command_was_stopping_starts_again_when_it_has_ended(stage: Stage) -> None:
    one = stage.stage("jobs-1")
    stage.switch(one)
    data = stage.home / "data" / "jobs"
    (first,) = (instance.pid for instance in stage.instances() if instance.id == "jobs-1-0")
    eventually((data / f"started-{first}").exists)
    SupervisorClient(stage.home).stop(["jobs-1-0"], grace=10)
    stage.switch(one)
    (second,) = (instance.pid for instance in stage.instances() if instance.id == "jobs-1-0")
    eventually((data / f"started-{second}").exists)
    assert first != second
    assert not (data / "refused").exists()


def test_without_its_secrets_nothing_stops(stage: Stage) -> None:
    one, two = stage.stage("jobs-1"), stage.stage("jobs-2")
    stage.switch(two)
    with pytest.raises(PlatformError, match="jobs cannot be started: TOKEN has no value"):
        stage.switch(one, env={})
    assert stage.running() == ["jobs-2-0"]
    assert two.id in stage.run(_live_versions)


async def _live_versions(local: LocalPlatform) -> frozenset[str]:
    return frozenset({"jobs-1", "jobs-2"}) - await local.list_idle_versions()
