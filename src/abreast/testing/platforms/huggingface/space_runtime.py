"""Spaces, their builds and their processes."""

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore
from abreast.testing.platforms.service_process import ServiceProcess


@dataclass
class Space:
    """A Space: ``branches`` lists commit ids, oldest first; ``live_process`` runs commit ``sha``.

    ``next_process`` is the start of ``building_commit``, which cannot be live before ``done_at`` (monotonic).
    """

    id: str
    private: bool = False
    sdk: str = "docker"
    branches: dict[str, list[str]] = field(default_factory=dict)
    stage: str = "NO_APP_FILE"
    sha: str | None = None
    live_process: ServiceProcess | None = None
    next_process: ServiceProcess | None = None
    building_commit: str | None = None
    poll_count: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    hardware: str = "cpu-basic"
    log: list[str] = field(default_factory=list)
    start_count: int = 0
    factory_rebuild: bool = False
    done_at: float = 0.0


class RuntimeSettings:
    """How Spaces behave; tests change it.

    ``stuck_state``: a Space never leaves this stage. ``stale_polls``: for so many polls after a commit, a Space
    still reports the previous one. ``work_seconds`` returns the shortest time of the next build.
    """

    def __init__(self) -> None:
        self.stale_polls = 1
        self.stuck_state: str | None = None
        self.work_seconds: Callable[[], float] = float


class SpaceRuntime:
    """Builds and runs the commits of Spaces, below ``folder``.

    A Space advances by one stage each time its runtime is polled, so tests need not wait. From the Dockerfile it
    runs each ``RUN``, and the ``CMD`` (a JSON list) as a process in the tree.
    """

    def __init__(self, folder: Path, store: RepositoryStore, settings: RuntimeSettings) -> None:
        self._folder = folder
        self._store = store
        self._settings = settings
        self._advance_lock = asyncio.Lock()

    def queue_build(self, space: Space, commit: Commit) -> None:
        """Queue the build of a commit. It replaces a build or start in progress."""
        space.building_commit, space.poll_count = commit.id, 0
        space.done_at = time.monotonic() + self._settings.work_seconds()
        if space.next_process:
            space.next_process.stop()
            space.next_process = None
        if "BUILDING" in space.stage or "STARTING" in space.stage:
            space.stage = "RUNNING" if space.live_process else "STOPPED"

    async def poll(self, space: Space) -> None:
        """Advance a Space by one stage, or, where ``work_seconds`` is set, as far as time allows."""
        async with self._advance_lock:
            before = ""
            while space.stage != before:
                before = space.stage
                await self._advance(space)
                if self._settings.work_seconds is float:
                    break

    def pause(self, space: Space) -> None:
        """Stop a Space's live process."""
        _stop_live_process(space)
        space.stage = "PAUSED"

    async def _advance(self, space: Space) -> None:
        if space.building_commit is None or space.stage == self._settings.stuck_state:
            return
        space.poll_count += 1
        if space.poll_count <= self._settings.stale_polls:
            return
        if "BUILDING" not in space.stage and "STARTING" not in space.stage:
            space.stage = "RUNNING_BUILDING" if space.live_process else "BUILDING"
            space.log = [f"===== Build of {space.building_commit} =====", "COPY . ."]
        elif "BUILDING" in space.stage and time.monotonic() >= space.done_at:
            self._run_build(space, self._store.commits[space.building_commit])
        elif space.next_process:
            await _finish_start(space, space.next_process)

    def _run_build(self, space: Space, commit: Commit) -> None:
        """Run the Dockerfile's ``RUN`` lines in a checkout of the tree, then start its ``CMD``."""
        dockerfile = commit.tree.get("Dockerfile")
        if dockerfile is None:
            _finish_build(space, "NO_APP_FILE")
            return
        workdir = self._checkout(commit)
        lines = self._store.blobs[dockerfile.oid].decode().splitlines()
        for command in (line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")):
            done = subprocess.run(["/bin/sh", "-c", command], cwd=workdir, capture_output=True, text=True, check=False)
            space.log += [f"RUN {command}", *done.stdout.splitlines(), *done.stderr.splitlines()]
            if done.returncode:
                _finish_build(space, "BUILD_ERROR")
                return
        (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
        env = {"SPACE_ID": space.id, **space.variables, **space.secrets}
        space.next_process = ServiceProcess.start(json.loads(command), workdir, env, workdir / ".log")
        space.start_count += 1
        space.stage = "RUNNING_APP_STARTING" if space.live_process else "APP_STARTING"

    def _checkout(self, commit: Commit) -> Path:
        workdir = Path(tempfile.mkdtemp(dir=self._folder))
        for path, entry in commit.tree.items():
            (workdir / path).parent.mkdir(parents=True, exist_ok=True)
            (workdir / path).write_bytes(self._store.content(entry))
        return workdir


async def _finish_start(space: Space, process: ServiceProcess) -> None:
    listens = await process.wait_until_listening()
    if space.next_process is not process:  # a newer commit stopped it meanwhile
        return
    if not listens:
        space.log += process.log.read_text().splitlines()
        space.next_process = None
        process.stop()
        _finish_build(space, "RUNTIME_ERROR")
        return
    _stop_live_process(space)
    space.live_process, space.next_process = process, None
    _finish_build(space, "RUNNING")


def _finish_build(space: Space, stage: str) -> None:
    if stage != "RUNNING":
        _stop_live_process(space)
    space.stage, space.sha, space.building_commit = stage, space.building_commit, None


def _stop_live_process(space: Space) -> None:
    if space.live_process:
        space.live_process.stop()
        space.live_process = None
