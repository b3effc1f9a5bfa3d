"""Spaces, their builds and their processes."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.huggingface.card import parse_card
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore
from abreast.testing.platforms.huggingface.space_process import (
    Application,
    BuildError,
    accepts_other_hosts,
    build_application,
)
from abreast.testing.platforms.service_process import ServiceProcess


@dataclass(frozen=True)
class Variable:
    """A variable or a secret of a Space."""

    value: str
    description: str = ""
    updated_at: str = field(default_factory=utc_timestamp)

    @classmethod
    def of(cls, body: Mapping[str, str]) -> "Variable":
        """Return the variable that a request sets."""
        return cls(body["value"], body.get("description", ""))


@dataclass
class Space:
    """A Space: ``branches`` lists commit ids, oldest first; ``live_process`` runs commit ``sha``.

    ``log`` has the lines of the newest build, ``output`` those of an application that did not start.
    ``next_process`` is the start of ``building_commit``, which cannot be live before ``done_at`` (monotonic).
    ``restart_count``: how often the live process was stopped and started again by a write of a variable, a secret or
    the hardware. ``live_commit``: what a static Space serves. ``read_only``: the tokens may read it and not change it.
    """

    id: str
    private: bool = False
    read_only: bool = False
    sdk: str = "docker"
    branches: dict[str, list[str]] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    commit_ids: set[str] = field(default_factory=set)
    stage: str = "NO_APP_FILE"
    sha: str | None = None
    live_process: ServiceProcess | None = None
    live_application: Application | None = None
    live_commit: Commit | None = None
    next_process: ServiceProcess | None = None
    next_application: Application | None = None
    building_commit: str | None = None
    error: str = ""
    poll_count: int = 0
    variables: dict[str, Variable] = field(default_factory=dict)
    secrets: dict[str, Variable] = field(default_factory=dict)
    hardware: str = "cpu-basic"
    sleep_time: int | None = 172800
    log: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    start_count: int = 0
    restart_count: int = 0
    factory_rebuild: bool = False
    done_at: float = 0.0

    @property
    def subdomain(self) -> str:
        """The first label of its host name."""
        return self.id.replace("/", "-").replace(".", "-").lower()

    @property
    def environment(self) -> dict[str, str]:
        """What its application gets as variables."""
        own = {name: variable.value for name, variable in {**self.variables, **self.secrets}.items()}
        return {"SPACE_ID": self.id, "SPACE_AUTHOR_NAME": self.id.split("/")[0], "SYSTEM": "spaces", **own}


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

    A Space advances by one stage each time its runtime is polled, so tests need not wait.
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
        _stop_next_process(space)
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

    async def restart(self, space: Space) -> None:
        """Stop the application and start it again, with the variables that the Space has now. Users see a gap."""
        async with self._advance_lock:
            if space.next_process and space.building_commit:
                self.queue_build(space, self._store.commits[space.building_commit])
            if space.live_process is None or space.live_application is None:
                return
            space.restart_count += 1
            _stop_live_process(space)
            process = space.live_application.start(space.environment)
            if await process.wait_until_listening() and await accepts_other_hosts(process):
                space.live_process = process
            else:
                _fail(space, process)

    def pause(self, space: Space) -> None:
        """Stop a Space's live process."""
        _stop_live_process(space)
        space.stage = "PAUSED"

    def stop(self, space: Space) -> None:
        """Stop all processes of a Space."""
        _stop_live_process(space)
        _stop_next_process(space)

    async def _advance(self, space: Space) -> None:
        if space.building_commit is None or space.stage == self._settings.stuck_state:
            return
        space.poll_count += 1
        if space.poll_count <= self._settings.stale_polls:
            return
        commit = self._store.commits[space.building_commit]
        if space.sdk == "static":
            self._serve_files(space, commit)
        elif "BUILDING" not in space.stage and "STARTING" not in space.stage:
            space.stage = "RUNNING_BUILDING" if space.live_process else "BUILDING"
            space.log, space.error = [f"===== Build of {space.building_commit} ====="], ""
        elif "BUILDING" in space.stage and time.monotonic() >= space.done_at:
            self._build(space, commit)
        elif space.next_process:
            await _finish_start(space, space.next_process)

    def _build(self, space: Space, commit: Commit) -> None:
        """Build the application of a commit, then start it."""
        context, root = (Path(tempfile.mkdtemp(dir=self._folder)) for _ in range(2))
        self._check_out(commit, context)
        card: Mapping[str, Any] = {}
        with suppress(ValueError, OSError):
            card = parse_card((context / "README.md").read_bytes())
        try:
            space.next_application = build_application(card, context, root, space.log)
            space.next_process = space.next_application.start(space.environment)
        except BuildError as error:
            space.error = "" if error.stage == "BUILD_ERROR" else str(error)
            _finish_build(space, error.stage)
        except OSError as error:
            space.output = [str(error)]
            _finish_build(space, "RUNTIME_ERROR")
        else:
            space.start_count += 1
            space.stage = "RUNNING_APP_STARTING" if space.live_process else "APP_STARTING"

    def _serve_files(self, space: Space, commit: Commit) -> None:
        if time.monotonic() < space.done_at:
            return
        has_page = static_page(self._store, commit, "") is not None
        space.live_commit = commit if has_page else None
        space.start_count += 1
        space.stage, space.building_commit = "RUNNING" if has_page else "NO_APP_FILE", None

    def _check_out(self, commit: Commit, folder: Path) -> None:
        for path, entry in commit.tree.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(self._store.content(entry))


def static_page(store: RepositoryStore, commit: Commit, path: str) -> tuple[str, bytes] | None:
    """Return the name and content of a file that a static Space serves; None where it has none."""
    card = parse_card(store.content(commit.tree["README.md"])) if "README.md" in commit.tree else {}
    if not path:
        path = str(card.get("app_file", "index.html"))
    entry = commit.tree.get(f"{path}index.html" if path.endswith("/") else path)
    return (path, store.content(entry)) if entry else None


def runtime_json(space: Space) -> dict[str, Any]:
    """Return a Space's runtime as the Hub reports it."""
    if space.sdk == "static":
        nothing = {"current": None, "requested": None}
        return {"stage": space.stage, "hardware": nothing, "storage": None, "gcTimeout": None, "replicas": nothing}
    error = {"errorMessage": space.error} if space.error else {}
    return {
        "stage": space.stage, "sha": space.sha, "hardware": {"current": space.hardware, "requested": space.hardware},
        "storage": None, "gcTimeout": space.sleep_time, "replicas": {"current": 1, "requested": 1}, "devMode": False,
        **error,
    }  # fmt: skip


async def _finish_start(space: Space, process: ServiceProcess) -> None:
    listens = await process.wait_until_listening()
    if space.next_process is not process:  # a newer commit stopped it meanwhile
        return
    if not listens or not await accepts_other_hosts(process):
        _fail(space, process)
        return
    _stop_live_process(space)
    space.live_process, space.live_application = process, space.next_application
    space.next_process = space.next_application = None
    _finish_build(space, "RUNNING")


def _fail(space: Space, process: ServiceProcess) -> None:
    """End a process that does not listen on the Space's port."""
    space.output = process.log.read_text().splitlines()
    application = space.next_application or space.live_application
    if process.process.poll() is None and application:
        space.error = f"the application does not listen on the Space's app_port {application.port} at 0.0.0.0"
    space.next_process = None
    process.stop()
    _finish_build(space, "RUNTIME_ERROR")


def _finish_build(space: Space, stage: str) -> None:
    if stage != "RUNNING":
        _stop_live_process(space)
    space.stage, space.sha, space.building_commit = stage, space.building_commit or space.sha, None


def _stop_live_process(space: Space) -> None:
    if space.live_process:
        space.live_process.stop()
        space.live_process = None


def _stop_next_process(space: Space) -> None:
    if space.next_process:
        space.next_process.stop()
        space.next_process = space.next_application = None
