"""A site at Netlify, emulated, and the platform that deploys to it; for tests that use no more than that."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from abreast.core.model import Service, Version
from abreast.core.secrets import Secret
from abreast.platforms.interface import StageRequest, TrafficMove
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.provider_api.api_client import ApiClient
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator, RateLimits
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import validate_emulator
from sample_project import get_text

T = TypeVar("T")
SERVICE = Service("web", "netlify", {"site": "shop"})


class Stage:
    """An emulator, and a platform that talks to it."""

    def __init__(self, emulator: NetlifyEmulator, url: str, folder: Path) -> None:
        self.emulator, self.url, self.folder = emulator, url, folder
        self.told: list[str] = []
        self.service, self.env, self.secrets = SERVICE, dict[str, str](), frozenset[str]()

    def run(self, work: Callable[[NetlifyPlatform], Awaitable[T]], token: str | None = TOKEN) -> T:
        async def story() -> T:
            api = ApiClient(NETLIFY, f"{self.url}/api/v1", Secret("T", token) if token else None, retry_delay=0.01)
            try:
                return await work(NetlifyPlatform(NetlifyClient(api), self.folder / "home", poll_interval=0.01))
            finally:
                await api.close()

        return asyncio.run(story())

    async def tell(self, service: str, text: str) -> None:
        assert service == self.service.name
        self.told.append(text)

    def order(self, version: str, **files: str) -> StageRequest:
        site = self.folder / version
        for name, text in {"index_html": version, **files}.items():
            path = site / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return StageRequest(version, self.service, "0" * 40, site, "sha256:1", None, self.env, self.secrets)

    def stage(self, version: str, **files: str) -> Version:
        return self.run(lambda netlify: netlify.stage(self.order(version, **files), self.tell))

    def turn(self, version: Version) -> None:
        self.run(lambda netlify: netlify.switch_traffic([TrafficMove(self.service, version)], self.tell))

    def put(self, version: str, path: str, content: bytes | str) -> None:
        """Add a file to the artifact of a version."""
        file = self.folder / version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    @property
    def served(self) -> str:
        return get_text(f"{self.url}/s/shop/")


@contextmanager
def netlify_stage(folder: Path, limits: RateLimits = UNLIMITED, extra_keys: Collection[str] = ()) -> Iterator[Stage]:
    """Serve the emulator with one site, held to the published description but for ``extra_keys`` of bodies."""
    emulator = NetlifyEmulator(limits)
    emulator.add_site("shop")
    with validate_emulator(emulator, "netlify", extra_keys) as described, ThreadedServer(emulator.app) as served:
        yield Stage(emulator, served.url, folder)
    assert described.checked_count or not emulator.deploys
