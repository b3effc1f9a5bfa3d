"""The story with a platform that can be told to fail: stuck, resumed, and back where it was."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from abreast.artifacts.interface import ArtifactMetadata, ArtifactStore
from abreast.checks.interface import CheckResult
from abreast.commands.shell import end_orphans
from abreast.commands.shell import run as run_command
from abreast.core.errors import PlatformError
from abreast.core.model import HealthSettings, LiveService, Service, Version
from abreast.core.plan import Action, DeploymentKind, OnFailure, Plan, ServicePlan
from abreast.core.states import DeploymentState
from abreast.deploy.executor import execute_plan
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.ports import ArtifactRetention, Folders, Ports
from abreast.deploy.workflow import DeploymentWorkflow
from abreast.ledger.interface import ReleasePart
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    Reporter,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.runtimes.folder import FolderInstallStore
from abreast.source.git import GitRepository
from abreast.wiring.attestor import create_attestor


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

    async def stage(self, order: StageRequest, report: Reporter) -> Version:
        self.up.add(order.version_id)
        return Version(order.version_id, order.service.name, (), "")

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
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


class Anything(ArtifactStore):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, folder: Path, metadata: ArtifactMetadata) -> str:
        raise AssertionError(folder)

    def has(self, digest: str) -> bool:
        return bool(digest)

    def fetch(self, digest: str) -> Path:
        return self.folder

    def metadata(self, digest: str, service: str) -> ArtifactMetadata:
        return {}

    def annotate(self, digest: str, service: str, **more: object) -> None:
        raise AssertionError(digest)

    def attestation(self, digest: str) -> str | None:
        return None

    def attach_attestation(self, digest: str, bundle: str) -> None:
        raise AssertionError(digest)

    def find_by_inputs(self, inputs: str) -> str | None:
        return None

    def prune(self, keep: Collection[str], min_age: float = 0) -> int:
        return 0


def service(name: str) -> Service:
    return Service(name, "local", run="x", health=HealthSettings(hold=0))


def plan(on_failure: OnFailure) -> Plan:
    parts = tuple(
        ServicePlan(
            service(name), Action.DEPLOY, "test", "c" * 40, "sha256:1",
            LiveService(name, "local", "v0", "b" * 40, "sha256:0", "D0", "t", Version(f"{name}-old", name, (), ""), service(name)),
        )
        for name in ("web", "api")
    )  # fmt: skip
    return Plan("D1", DeploymentKind.DEPLOY, "shop", "local", "v1", "c" * 40, parts, 2.0, 1, on_failure)


def told(
    tmp_path: Path, platform: Scripted, sick: str = "", on_failure: OnFailure = OnFailure.TOGETHER
) -> list[DeploymentState]:
    """Carry the plan out; while it ends stuck, mend the platform and go on. Returns the states it came to."""

    async def check(version: Version, health: HealthSettings, commit: str) -> CheckResult:
        assert health.hold == 0
        assert commit == ("b" if version.id.endswith("-old") else "c") * 40
        has_users = platform.reached[version.service] == version.id
        return CheckResult(success=not (has_users and version.id == f"{sick}-D1"), why="sick")

    nothing: Any = None

    async def story() -> list[DeploymentState]:
        found: list[DeploymentState] = []
        with SqliteLedger.open(tmp_path) as ledger:
            ledger.reserve_version("shop", "c")
            for name in ("web", "api"):
                ledger.add_release_part("v1", ReleasePart(name, "c" * 40, "sha256:1", service(name)))
            ports = Ports(
                ledger, {"local": platform}, check, run_command, end_orphans, {}, GitRepository(tmp_path), Anything(tmp_path),
                ArtifactRetention(), Folders(tmp_path / "work", tmp_path / "logs"), lambda _: {}, frozenset(), lambda _: "", {}, lambda: "2026-11-21T01:02:03Z",
                nothing, nothing, dict, nothing, FolderInstallStore(tmp_path / "installs"), create_attestor({}, None, str),
            )  # fmt: skip
            ledger.record_plan(plan(on_failure))
            while not found or found[-1] is DeploymentState.STUCK:
                found.append(await execute_plan(plan(on_failure), DeploymentWorkflow(ports, WorkflowEngine(ledger))))
                platform.broken.clear()
        return found

    return asyncio.run(story())


def test_all_goes_well(tmp_path: Path) -> None:
    platform = Scripted()
    assert told(tmp_path, platform) == [DeploymentState.SUCCEEDED]
    assert platform.reached == {"web": "web-D1", "api": "api-D1"}
    assert platform.up == {"web-D1", "api-D1"}


def test_a_turn_back_that_fails_is_stuck_and_is_finished_by_resume(tmp_path: Path) -> None:
    platform = Scripted()
    platform.broken = {"back"}
    assert told(tmp_path, platform, sick="api") == [DeploymentState.STUCK, DeploymentState.TURNED_BACK]
    assert platform.reached == {"web": "web-old", "api": "api-old"}
    assert platform.up == {"web-old", "api-old"}


def test_alone_and_stuck_the_others_settle_in_the_end(tmp_path: Path) -> None:
    platform = Scripted()
    platform.broken = {"back"}
    assert told(tmp_path, platform, sick="api", on_failure=OnFailure.ALONE) == [
        DeploymentState.STUCK,
        DeploymentState.TURNED_BACK,
    ]
    assert platform.reached == {"web": "web-D1", "api": "api-old"}
    assert platform.up == {"web-D1", "api-old"}
