"""The shelf keeps the contract that abreast's own platforms keep."""

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from abreast.core.model import Service
from abreast.platforms.interface import Platform, StageRequest
from abreast.testing.platform_contract import PlatformContract, PlatformHarness
from abreast_shelf import Shelf


class ShelfHarness(PlatformHarness):
    """A shelf, and a web server that serves it."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url = url
        self.service = Service("web", "shelf", {"folder": str(folder / "shelf"), "url": url})

    def create_platform(self) -> Platform:
        return Shelf()

    def stage_request(self, name: str) -> StageRequest:
        artifact = self.folder / f"artifact-{name}"
        artifact.mkdir(exist_ok=True)
        (artifact / "index.html").write_text(json.dumps({"commit": self.commit(name)}))
        return StageRequest(name, self.service, self.commit(name), artifact, f"sha256:{name}", None)

    def version_count(self) -> int:
        folder = self.folder / "shelf" / "versions"
        return len(list(folder.iterdir())) if folder.exists() else 0

    @property
    def public_url(self) -> str:
        return self.url


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "shelf" / "current"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


class TestShelf(PlatformContract):
    @pytest.fixture
    def harness(self, tmp_path: Path, web_server: str) -> ShelfHarness:
        return ShelfHarness(tmp_path, web_server)
