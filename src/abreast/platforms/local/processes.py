"""The processes of versions: start them in a copy of the artifact, stop them, and wait until they are gone."""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from abreast.machine.tasks import run_all
from abreast.machine.threads import run_in_thread
from abreast.platforms.local.instance_specs import VersionPlace, VersionSpec, instance_specs
from abreast.platforms.local.supervisor.client import (
    POSTGRES,
    ROUTER,
    Instance,
    InstanceSpec,
    InstanceState,
    SupervisorClient,
    SupervisorGoneError,
)

TERMINATION_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL. The process has no request in flight."""

SHUTDOWN_GRACE = 120.0
"""Seconds that the server of databases has to write what it has in memory."""

_OF_ENVIRONMENT = frozenset({ROUTER, POSTGRES})
"""The instances that are no version's."""


class VersionProcesses:
    """The processes of one environment's versions, kept by the supervisor of ``home``."""

    def __init__(self, home: Path, logs: Path, inherited: Mapping[str, str], supervisor: SupervisorClient) -> None:
        self._home = home
        self._logs = logs
        self._inherited = inherited
        self._supervisor = supervisor

    def version_folder(self, version: str) -> Path:
        """Return where a version runs."""
        return self._home / "versions" / version

    def log_file(self, version: str) -> Path:
        """Return the log of a version's output."""
        return self._logs / f"{version}.log"

    def recorded_versions(self) -> frozenset[str]:
        """Return the ids of the versions that have processes, or will have them again. Needs no supervisor."""
        return frozenset(
            name.rpartition("-")[0] for name in self._supervisor.recorded_instances() if name not in _OF_ENVIRONMENT
        )

    async def install(self, version: str, artifact: Path) -> None:
        """Copy an artifact to where the version runs, unless it is there."""
        folder = self.version_folder(version)
        if not folder.exists():
            await run_in_thread(_copy_artifact, artifact, folder)

    async def start(self, version: VersionSpec) -> Sequence[Instance]:
        """Start what an installed version runs, unless it runs. What is being stopped starts when it has ended."""
        place = VersionPlace(
            self._home,
            self.version_folder(version.id),
            self._home / "data" / version.service.name,
            self.log_file(version.id),
            self._inherited,
        )
        place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        specs = instance_specs(version, place)
        return await run_all(*map(self._ensure, specs))

    async def _ensure(self, spec: InstanceSpec) -> Instance:
        while True:
            found = await run_in_thread(self._supervisor.ensure, spec)
            if found.state is not InstanceState.STOPPING:
                return found
            await asyncio.sleep(0.05)

    async def stop(self, versions: Sequence[str] | None, grace: float = TERMINATION_GRACE) -> None:
        """Stop the processes of the versions and wait until they are gone.

        With None all processes: the server of databases when nobody needs it any more.
        """
        if versions is None:
            await self._stop_chosen(lambda name: name != POSTGRES, grace)
            await self._stop_chosen(lambda _: True, SHUTDOWN_GRACE)
        elif versions:
            prefixes = tuple(f"{version}-" for version in versions)
            await self._stop_chosen(lambda name: name.startswith(prefixes), grace)

    async def _stop_chosen(self, is_chosen: Callable[[str], bool], grace: float) -> None:
        while True:
            with suppress(SupervisorGoneError):  # somebody killed it meanwhile; the next look starts it again
                ids = list(filter(is_chosen, await run_in_thread(self._instance_ids)))
                if not ids:
                    return
                await run_in_thread(self._supervisor.stop, ids, grace)
            await asyncio.sleep(0.05)

    def _instance_ids(self) -> list[str]:
        if not self._supervisor.is_running():
            if not self._supervisor.recorded_instances():
                return []
            self._supervisor.start()  # somebody killed it; what it ran runs on
        return [instance.id for instance in self._supervisor.instances()]


def _copy_artifact(artifact: Path, folder: Path) -> None:
    """Copy an artifact atomically. A process may write to its folder, and an artifact must never change."""
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(artifact, unfinished, symlinks=True)
    unfinished.rename(folder)
