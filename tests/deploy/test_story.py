"""The story with a platform that can be told to fail: stuck, resumed, and back where it was."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from abreast.artifacts.interface import About, Artifacts
from abreast.checks.interface import Finding
from abreast.commands.shell import run as run_command
from abreast.core.errors import PlatformError
from abreast.core.model import Action, Health, Kind, Live, OnFailure, Plan, Service, ServicePlan, Version
from abreast.core.states import State
from abreast.deploy.engine import Engine
from abreast.deploy.ports import Folders, Ports, Retention
from abreast.deploy.story import Story
from abreast.deploy.teller import carry_out
from abreast.ledger.interface import Part
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import Capabilities, Observation, Platform, StageRequest, Tell, TrafficMove, VersionRef
from abreast.source.git import Git


class Scripted(Platform):
    """Keeps who reaches what in memory; ``broken`` names verbs that fail."""

    name = "local"

    def __init__(self) -> None:
        self.reached: dict[str, str | None] = {"web": "web-old", "api": "api-old"}
        self.up = {"web-old", "api-old"}
        self.broken: set[str] = set()
        self.turns = 0

    def capabilities(self, service: Service) -> Capabilities:
        return Capabilities(has_candidates=True, notes=(service.name,))

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        self.up.add(order.version_id)
        return Version(order.version_id, order.service.name, (), "")

    async def switch_traffic(self, moves: Sequence[TrafficMove], tell: Tell) -> None:
        self.turns += 1
        if "back" in self.broken and self.turns > 1:
            raise PlatformError("the road is closed")
        for move in moves:
            self.reached[move.service.name] = move.target.id if move.target else None

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        assert drain == 1
        self.up -= {version.id for version in versions}

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        return {version.id: Observation(present=version.id in self.up) for version in versions}

    async def stop_all(self) -> None:
        self.up.clear()


class Anything(Artifacts):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, folder: Path, about: About) -> str:
        raise AssertionError(folder)

    def has(self, digest: str) -> bool:
        return bool(digest)

    def take(self, digest: str) -> Path:
        return self.folder

    def about(self, digest: str, service: str) -> About:
        return {}

    def note(self, digest: str, service: str, **more: object) -> None:
        raise AssertionError(digest)

    def made_from(self, inputs: str) -> str | None:
        return None

    def forget(self, but: Collection[str], age: float = 0) -> int:
        return 0


def service(name: str) -> Service:
    return Service(name, "local", run="x", health=Health(hold=0))


def plan(on_failure: OnFailure) -> Plan:
    parts = tuple(
        ServicePlan(
            service(name), Action.DEPLOY, "test", "c" * 40, "sha256:1",
            Live(name, "local", "v0", "b" * 40, "sha256:0", "D0", "t", Version(f"{name}-old", name, (), ""), service(name)),
        )
        for name in ("web", "api")
    )  # fmt: skip
    return Plan("D1", Kind.DEPLOY, "shop", "local", "v1", "c" * 40, parts, 2.0, 1, on_failure)


def told(tmp_path: Path, platform: Scripted, sick: str = "", on_failure: OnFailure = OnFailure.TOGETHER) -> list[State]:
    """Carry the plan out; while it ends stuck, mend the platform and go on. Returns the states it came to."""

    async def check(version: Version, health: Health, commit: str) -> Finding:
        assert health.hold == 0
        assert commit == "c" * 40
        has_users = platform.reached[version.service] == version.id
        return Finding(good=not (has_users and version.service == sick), why="sick")

    nothing: Any = None

    async def story() -> list[State]:
        found: list[State] = []
        with SqliteLedger.open(tmp_path) as ledger:
            ledger.reserve("shop", "c")
            for name in ("web", "api"):
                ledger.built("v1", Part(name, "c" * 40, "sha256:1", service(name)))
            ports = Ports(
                ledger, {"local": platform}, check, run_command, {}, Git(tmp_path), Anything(tmp_path),
                Retention(), Folders(tmp_path / "work", tmp_path / "logs"), lambda _: {}, frozenset(), lambda _: "", {}, lambda: "2026-11-21T01:02:03Z",
                nothing, nothing, dict,
            )  # fmt: skip
            ledger.plan(plan(on_failure))
            while not found or found[-1] is State.STUCK:
                engine = Engine(tmp_path / "engine.db", "test")
                story = Story(ports, engine)
                await engine.launch()
                found.append(await carry_out(plan(on_failure), story))
                await engine.close()
                platform.broken.clear()
        return found

    return asyncio.run(story())


def test_all_goes_well(tmp_path: Path) -> None:
    platform = Scripted()
    assert told(tmp_path, platform) == [State.SUCCEEDED]
    assert platform.reached == {"web": "web-D1", "api": "api-D1"}
    assert platform.up == {"web-D1", "api-D1"}


def test_a_turn_back_that_fails_is_stuck_and_is_finished_by_resume(tmp_path: Path) -> None:
    platform = Scripted()
    platform.broken = {"back"}
    assert told(tmp_path, platform, sick="api") == [State.STUCK, State.TURNED_BACK]
    assert platform.reached == {"web": "web-old", "api": "api-old"}
    assert platform.up == {"web-old", "api-old"}


def test_alone_and_stuck_the_others_settle_in_the_end(tmp_path: Path) -> None:
    platform = Scripted()
    platform.broken = {"back"}
    assert told(tmp_path, platform, sick="api", on_failure=OnFailure.ALONE) == [State.STUCK, State.TURNED_BACK]
    assert platform.reached == {"web": "web-D1", "api": "api-old"}
    assert platform.up == {"web-D1", "api-old"}
