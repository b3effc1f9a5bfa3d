"""Render's emulator with one service of a repository, and a platform that talks to it."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from abreast.core.model import Service, Version
from abreast.core.secrets import Secret
from abreast.platforms.interface import Capabilities, Observation, StageRequest, TrafficMove, VersionRef
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.platform import RenderPlatform
from abreast.provider_api.api_client import ApiClient
from abreast.testing.platforms.render import TOKEN, RenderEmulator, ServiceKind
from abreast.testing.platforms.render import Service as Emulated
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import validate_emulator
from sample_project import SampleProject, get_text

T = TypeVar("T")
COMMAND = f"ABREAST_RELEASE=- ABREAST_COMMIT=$RENDER_GIT_COMMIT exec {sys.executable} -S app.py"

WRONG_REQUEST = re.compile(": (request|query|status (400|501) is not described)")


class Stage:
    """An emulator with one service, and a platform that talks to it. ``secrets`` are the machine's variables.

    ``asks_wrongly``: requests may be wrong, which were made to be refused; answers are held to the description.
    """

    def __init__(self, emulator: RenderEmulator, service: Emulated, url: str, project: SampleProject) -> None:
        self.emulator, self.service, self.url, self.project = emulator, service, url, project
        self.asks_wrongly = False
        self.told: list[str] = []
        self.secrets: dict[str, str] = {}
        self.on_render = Service("api", "render", {"service": service.id})

    def run(self, work: Callable[[RenderPlatform], Awaitable[T]], token: str = TOKEN) -> T:
        async def story() -> T:
            api = ApiClient(RENDER, f"{self.url}/v1", Secret("T", token), retry_delay=0.01)
            try:
                return await work(RenderPlatform(RenderClient(api), self._secret, poll_interval=0.01))
            finally:
                await api.close()

        return asyncio.run(story())

    def _secret(self, name: str) -> Secret | None:
        return Secret(name, self.secrets[name]) if name in self.secrets else None

    async def tell(self, service: str, text: str) -> None:
        assert service == "api"
        self.told.append(text)

    def stage(self, commit: str) -> Version:
        order = StageRequest(f"api-{commit}", self.on_render, commit, Path(), "", None, {"ABREAST_RELEASE": "v7"})
        return self.run(lambda render: render.stage(order, self.tell))

    def turn(self, version: Version, **env: str) -> None:
        self.run(lambda render: render.switch_traffic([TrafficMove(self.on_render, version, env)], self.tell))

    def set(self, **settings: str | int | Mapping[str, str | int]) -> None:
        self.on_render = replace(self.on_render, settings={"service": self.service.id, **settings})

    def live(self) -> Version | None:
        return self.run(lambda render: render.live_version(self.on_render))

    def present(self) -> Version:
        found = self.live()
        assert found
        return found

    def notes(self) -> tuple[str, ...]:
        """Return what a plan says of the service, after Render was asked."""
        return self.capabilities().notes

    def capabilities(self) -> Capabilities:
        """Return what Render can do with the service, after it was asked."""

        async def known(render: RenderPlatform) -> Capabilities:
            await render.live_version(self.on_render)
            return render.capabilities(self.on_render)

        return self.run(known)

    def observe(self, version: Version) -> Observation:
        named = VersionRef(self.on_render, version.id, version.handle)
        return self.run(lambda render: render.observe([named]))[version.id]

    def deploy(self, commit: str, **env: str) -> Version:
        version = self.stage(commit)
        self.turn(version, **env)
        return version

    def requests(self, ending: str) -> int:
        """Return how many requests of a path there were."""
        return sum(path.endswith(ending) for _, path in self.emulator.faults.requests)

    @property
    def served(self) -> str:
        return get_text(f"{self.url}/r/api/")

    @property
    def statuses(self) -> list[str]:
        return [deploy.status for deploy in self.service.deploys]


@contextmanager
def render_stage(
    project: SampleProject, folder: Path, kind: ServiceKind = ServiceKind.WEB, command: str = COMMAND
) -> Iterator[Stage]:
    """Serve an emulator with one service, and hold it to Render's description."""
    emulator = RenderEmulator(folder)
    service = emulator.add_service("api", project.folder, command, "/health", kind)
    try:
        with validate_emulator(emulator, "render") as validator:
            with ThreadedServer(emulator.app) as served:
                stage = Stage(emulator, service, served.url, project)
                yield stage
            if stage.asks_wrongly:
                validator.violations = [text for text in validator.violations if not WRONG_REQUEST.search(text)]
    finally:
        emulator.close()
