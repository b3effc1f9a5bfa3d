"""Every platform in the same dress, so that one suite of tests holds all of them to the same contract."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from abreast.core.model import Build, HealthSettings, LiveService, Service, ServiceType, Version
from abreast.core.secrets import Secret
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient
from abreast.platforms.huggingface.platform import HuggingFacePlatform
from abreast.platforms.interface import (
    Platform,
    ReservesUrl,
    StageRequest,
)
from abreast.platforms.local.platform import LocalPlatform
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.platform import RenderPlatform
from abreast.platforms.static_dir import StaticDirPlatform
from abreast.provider_api.api_client import ApiClient, Provider
from abreast.testing.platform_contract import PlatformHarness
from abreast.testing.platforms import huggingface, netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import Emulator, validate_emulator
from sample_project import APP_SOURCE, free_ports, require_programs
from ssh_server import ssh_server

POLL_INTERVAL = 0.01


class OwnHarness(PlatformHarness):
    """A harness of abreast's own platforms; ``cleanup`` ends what it starts."""

    provider: Provider | None = None

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder)
        self.cleanup = cleanup


class EmulatedHarness(OwnHarness):
    """A platform on an emulator, which is held to the provider's own description where ``openapi_spec`` names one."""

    emulator: Emulator
    token = ""

    openapi_spec = ""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self.emulator = self.create_emulator()
        if self.openapi_spec:
            cleanup.enter_context(validate_emulator(self.emulator, self.openapi_spec))
        self.url = cleanup.enter_context(ThreadedServer(self.emulator.faults)).url

    def create_emulator(self) -> Emulator:
        raise NotImplementedError

    def platform_on(self, api: ApiClient) -> Platform:
        raise NotImplementedError

    def connect(self) -> ApiClient:
        assert self.provider
        token = Secret("T", self.token) if self.token else None
        return ApiClient(self.provider, self.url + self.provider.api_path, token, retry_delay=POLL_INTERVAL)

    def create_platform(self) -> Platform:
        return self.platform_on(self.connect())

    @asynccontextmanager
    async def open_platform(self) -> AsyncIterator[Platform]:
        api = self.connect()
        try:
            yield self.platform_on(api)
        finally:
            await api.close()


class NetlifyHarness(EmulatedHarness):
    """A frontend at Netlify."""

    openapi_spec = "netlify"

    service = Service("web", "netlify", {"site": "shop"})
    provider = NETLIFY
    token = netlify.TOKEN
    emulator: netlify.NetlifyEmulator

    def create_emulator(self) -> Emulator:
        emulator = netlify.NetlifyEmulator(netlify.UNLIMITED)
        emulator.add_site("shop")
        return emulator

    def platform_on(self, api: ApiClient) -> Platform:
        return NetlifyPlatform(NetlifyClient(api), self.folder / "netlify", poll_interval=POLL_INTERVAL)

    def version_count(self) -> int:
        return len(self.emulator.deploys)

    @property
    def public_url(self) -> str:
        return f"{self.url}/s/shop/"

    def stage_request(self, name: str) -> StageRequest:
        return StageRequest(
            name, self.service, self.commit(name), _create_site(self.folder / name, self.commit(name)), name, None
        )


class NetlifyBranchHarness(NetlifyHarness):
    """A frontend at a branch of a site at Netlify."""

    service = Service("web", "netlify", {"site": "shop", "branch": "staging"})

    def version_count(self) -> int:
        return sum(deploy.draft for deploy in self.emulator.deploys.values())

    @property
    def public_url(self) -> str:
        return f"{self.url}/d/staging--shop/"


class RenderHarness(EmulatedHarness):
    """A backend on Render, of commits of a repository."""

    openapi_spec = "render"

    service = Service("api", "render", {"service": "srv-api"}, run="x")
    provider: Provider | None = RENDER
    token = render.TOKEN
    emulator: render.RenderEmulator
    kind = render.ServiceKind.WEB
    command = f"ABREAST_COMMIT=$RENDER_GIT_COMMIT exec {sys.executable} -S app.py"

    def create_emulator(self) -> Emulator:
        self._commits: dict[str, str] = {}
        self._repo = self.folder / "repo"
        self._repo.mkdir()
        _git(self._repo, "init", "-q")
        emulator = render.RenderEmulator(self.folder)
        self.cleanup.callback(emulator.close)
        emulator.add_service("api", self._repo, self.command, "/health", self.kind)
        return emulator

    def platform_on(self, api: ApiClient) -> Platform:
        return RenderPlatform(RenderClient(api), lambda _: None, poll_interval=POLL_INTERVAL)

    def commit(self, name: str) -> str:
        if name not in self._commits:
            (self._repo / "app.py").write_text(f"{APP_SOURCE}\n# {name}\n")
            _git(self._repo, "add", "-A")
            _git(self._repo, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", name)
            self._commits[name] = _git(self._repo, "rev-parse", "HEAD").strip()
        return self._commits[name]

    def version_count(self) -> int:
        return len(self.emulator.services["srv-api"].deploys)

    @property
    def public_url(self) -> str:
        return f"{self.url}/r/api/"

    def stage_request(self, name: str) -> StageRequest:
        return StageRequest(name, self.service, self.commit(name), self.folder, name, None, self.env)


class RenderHookHarness(RenderHarness):
    """The same with nothing but its deploy hook; what a process left half-way may be deployed twice."""

    provider: Provider | None = None

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self.emulator.services["srv-api"].env = dict(self.env)
        settings = {"hook": "HOOK", "url": self.public_url}
        self.service = Service(
            "api", "render", settings, run="x", health=HealthSettings("/health"), build=Build(timeout=5)
        )

    def connect(self) -> ApiClient:
        return ApiClient(RENDER, self.url, None)

    def platform_on(self, api: ApiClient) -> Platform:
        hook = Secret("HOOK", f"{self.url}/deploy/srv-api?key={render.HOOK_KEY}")
        return RenderPlatform(RenderClient(api), {"HOOK": hook}.get, poll_interval=POLL_INTERVAL)

    def version_count(self) -> int:
        return len({deploy.commit for deploy in self.emulator.services["srv-api"].deploys})


class SpaceHarness(EmulatedHarness):
    """A backend in a Hugging Face Space."""

    service = Service("api", "huggingface", {"space": "owner/api"}, run="x")
    provider = HUGGING_FACE
    token = huggingface.TOKEN
    emulator: huggingface.HuggingFaceEmulator

    def create_emulator(self) -> Emulator:
        emulator = huggingface.HuggingFaceEmulator(self.folder)
        self.cleanup.callback(emulator.close)
        emulator.add_space("owner/api")
        return emulator

    def platform_on(self, api: ApiClient) -> Platform:
        return HuggingFacePlatform(HubClient(api), Secret("T", self.token), poll_interval=POLL_INTERVAL)

    def version_count(self) -> int:
        space = self.emulator.spaces["owner/api"]
        titles = [self.emulator.repository.commits[id_].title for id_ in space.branches["main"]]
        return len(space.branches) - 1 + len(set(titles) - {"initial commit", *space.branches})

    @property
    def public_url(self) -> str:
        return f"{self.url}/h/owner/api/"

    def stage_request(self, name: str) -> StageRequest:
        tree = space_tree(self.folder / name, self.commit(name))
        return StageRequest(name, self.service, self.commit(name), tree, name, None)


class SpacePairHarness(SpaceHarness):
    """A backend in two Spaces; users are led to the address of the version that was turned last."""

    service = Service("api", "huggingface", {"space": "owner/api", "standby": "owner/api-b"}, run="x")
    _live: Version | None = None

    def create_emulator(self) -> Emulator:
        emulator = super().create_emulator()
        self._places: dict[str, str] = {}
        self.emulator = cast("huggingface.HuggingFaceEmulator", emulator)
        self.emulator.add_space("owner/api-b")
        return emulator

    def switch_traffic(self, version: Version) -> None:
        super().switch_traffic(version)
        self._live = version

    def version_count(self) -> int:
        return sum(space.stage != "PAUSED" and space.start_count > 0 for space in self.emulator.spaces.values())

    @property
    def public_url(self) -> str:
        return f"{self._live.url}/" if self._live else f"{self.url}/nowhere"

    def stage_request(self, name: str) -> StageRequest:
        request = super().stage_request(name)
        live = LiveService("api", "huggingface", "v1", "", "", "", "", self._live, self.service) if self._live else None
        if name not in self._places:  # as a plan, which is made once

            async def reserve(platform: Platform) -> str:
                assert isinstance(platform, ReservesUrl)
                return await platform.reserve_url(self.service, live)

            self._places[name] = self.run(reserve)
        return replace(request, previous=live, reserved_url=self._places[name])


class LocalHarness(OwnHarness):
    """A frontend on this machine."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self._port = free_ports(1)[0]
        self.service = Service("web", "local", {"port": self._port})
        cleanup.callback(self.stop_all)

    def create_platform(self) -> Platform:
        return LocalPlatform(self.folder / "home", self.folder / "logs", {})

    def version_count(self) -> int:
        versions = self.folder / "home" / "versions"
        return len(list(versions.iterdir())) if versions.exists() else 0

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def stage_request(self, name: str) -> StageRequest:
        return StageRequest(
            name, self.service, self.commit(name), _create_site(self.folder / name, self.commit(name)), name, None
        )


class StaticDirHarness(OwnHarness):
    """A frontend in a folder that a web server serves."""

    programs: tuple[str, ...] = ("rsync",)

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        require_programs(*self.programs)
        self.root = folder / "www"
        self.root.mkdir()
        self._url = cleanup.enter_context(
            ThreadedServer(Starlette(routes=[Mount("/", _CurrentRelease(self.root))]))
        ).url
        self.service = Service("web", "static-dir", self.settings())

    def settings(self) -> dict[str, str | int]:
        return {"to": str(self.root), "url": self._url}

    def create_platform(self) -> Platform:
        return StaticDirPlatform()

    def version_count(self) -> int:
        releases = self.root / "releases"
        return len(list(releases.iterdir())) if releases.exists() else 0

    @property
    def public_url(self) -> str:
        return self._url

    def stage_request(self, name: str) -> StageRequest:
        return StageRequest(
            name, self.service, self.commit(name), _create_site(self.folder / name, self.commit(name)), name, None
        )


class StaticDirSshHarness(StaticDirHarness):
    """The same over SSH, to a server of its own on this machine."""

    programs = ("rsync", "ssh", "sshd")

    def settings(self) -> dict[str, str | int]:
        server = self.cleanup.enter_context(ssh_server(self.folder / "ssh"))
        return {"to": f"{server.host}:{self.root}", "url": self._url, "ssh": server.command}


class _CurrentRelease(StaticFiles):
    """Serves what ``current`` leads to, as a web server does."""

    def __init__(self, root: Path) -> None:
        super().__init__(directory=root / "current", html=True, check_dir=False, follow_symlink=True)


class LocalWorkerHarness(LocalHarness):
    """A worker on this machine."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self.service = Service("jobs", "local", run="exec sleep 1000", type=ServiceType.WORKER)


class RenderWorkerHarness(RenderHarness):
    """A background worker on Render."""

    service = Service("jobs", "render", {"service": "srv-api"}, run="x", type=ServiceType.WORKER)
    command = "exec sleep 1000"
    kind = render.ServiceKind.WORKER


WORKER_HARNESSES: Mapping[str, type[OwnHarness]] = {"local": LocalWorkerHarness, "render": RenderWorkerHarness}


HARNESSES: Mapping[str, type[OwnHarness]] = {
    "local": LocalHarness, "netlify": NetlifyHarness, "netlify, a branch": NetlifyBranchHarness, "render": RenderHarness, "render, by a hook": RenderHookHarness, "huggingface": SpaceHarness,
    "huggingface, two Spaces": SpacePairHarness, "static-dir": StaticDirHarness,
    "static-dir over ssh": StaticDirSshHarness,
}  # fmt: skip


def space_tree(folder: Path, commit: str) -> Path:
    """Make the tree of a Docker Space that answers with its commit."""
    folder.mkdir(exist_ok=True)
    command = json.dumps(
        ["/bin/sh", "-c", f"ABREAST_RELEASE=- ABREAST_COMMIT={commit} exec {sys.executable} -S app.py"]
    )
    (folder / "Dockerfile").write_text(f"FROM python:3\nENV PORT=7860 HOST=0.0.0.0\nCOPY . .\nCMD {command}\n")
    (folder / "app.py").write_text(APP_SOURCE)
    return folder


def _create_site(folder: Path, commit: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(json.dumps({"commit": commit}))
    return folder


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
