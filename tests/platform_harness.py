"""Every platform in the same dress, so that one suite of tests holds all of them to the same contract."""

import asyncio
import getpass
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from abreast.core.diagnostics import Diagnostic
from abreast.core.model import Build, HealthSettings, LiveService, Service, Version
from abreast.core.secrets import Secret
from abreast.platforms.cloud.api_client import ApiClient, Provider
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient
from abreast.platforms.huggingface.platform import HuggingFacePlatform
from abreast.platforms.interface import (
    Diagnoses,
    Platform,
    ReportsLiveVersion,
    ReservesUrl,
    RunsHere,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.local.platform import LocalPlatform
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.platform import RenderPlatform
from abreast.platforms.static_dir import StaticDirPlatform
from abreast.testing.platforms import huggingface, netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import Emulator, validate_emulator
from sample_project import APP_SOURCE, eventually, free_ports, get_text, require_programs

T = TypeVar("T")
POLL_INTERVAL = 0.01
COMMITS = {"one": "1" * 40, "two": "2" * 40}
ENV = {"ABREAST_RELEASE": "-"}


class PlatformHarness:
    """A platform with one service; each version of it answers with its commit."""

    service: Service
    provider: Provider | None = None
    emulator: Emulator
    token = ""
    detects_external_changes = True

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        self.folder = folder
        self.cleanup = cleanup
        self.reports: list[str] = []

    def open_platform(self, token: str) -> tuple[Platform, Callable[[], Awaitable[None]]]:
        """Return the platform, as a process that begins would have it, and how it is closed."""
        raise NotImplementedError

    def version_count(self) -> int:
        """Return how many versions, staged or live, the platform keeps."""
        raise NotImplementedError

    @property
    def public_url(self) -> str:
        """Where users reach the service."""
        raise NotImplementedError

    def order(self, name: str) -> StageRequest:
        """Return an order for the version ``name``, with a tree of its own."""
        raise NotImplementedError

    # ── what tests do ──────────────────────────────────────────────────────────────────────────

    def run(self, work: Callable[[Platform], Awaitable[T]], token: str | None = None) -> T:
        """Do something as a process of its own would, which remembers nothing."""

        async def run_with_platform() -> T:
            platform, close = self.open_platform(self.token if token is None else token)
            try:
                return await work(platform)
            finally:
                await close()

        return asyncio.run(run_with_platform())

    def stage(self, name: str) -> Version:
        order = self.order(name)
        return self.run(lambda platform: platform.stage(order, self.report))

    def switch_traffic(self, version: Version) -> None:
        self.run(lambda platform: platform.switch_traffic([self.move(version)], self.report))

    def deploy(self, name: str) -> Version:
        version = self.stage(name)
        self.switch_traffic(version)
        return version

    def retire(self, *ids: str) -> None:
        self.run(lambda platform: platform.retire([VersionRef(self.service, id_) for id_ in ids], 1))

    def live_version(self, token: str | None = None) -> Version | None:
        async def ask(platform: Platform) -> Version | None:
            assert isinstance(platform, ReportsLiveVersion)
            return await platform.live_version(self.service)

        return self.run(ask, token)

    def diagnose(self) -> Sequence[Diagnostic]:
        async def ask(platform: Platform) -> Sequence[Diagnostic]:
            assert isinstance(platform, Diagnoses)
            return await platform.diagnose(self.service)

        return self.run(ask)

    def stop_all(self) -> None:
        async def stop(platform: Platform) -> None:
            if isinstance(platform, RunsHere):
                await platform.stop_all()

        self.run(stop)

    def move(self, version: Version) -> TrafficMove:
        return TrafficMove(self.service, version, {**ENV, "ABREAST_COMMIT": self.commit(version.id)}, frozenset())

    def commit(self, name: str) -> str:
        return COMMITS.get(name, "0" * 40)

    async def report(self, service: str, text: str) -> None:
        assert service == self.service.name
        self.reports.append(text)

    def served_commit(self) -> str:
        """Return the commit that users get, "" while there is none."""
        try:
            return str(json.loads(get_text(self.public_url))["commit"])
        except (ValueError, OSError, TypeError):
            return ""


class EmulatedHarness(PlatformHarness):
    """One whose platform is emulated, as its ``description`` says where there is one."""

    openapi_spec = ""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self.emulator = self.create_emulator()
        if self.openapi_spec:
            cleanup.enter_context(validate_emulator(self.emulator, self.openapi_spec))
        self.url = cleanup.enter_context(ThreadedServer(self.emulator.faults)).url

    def create_emulator(self) -> Emulator:
        raise NotImplementedError

    def create_platform(self, api: ApiClient) -> Platform:
        raise NotImplementedError

    def open_platform(self, token: str) -> tuple[Platform, Callable[[], Awaitable[None]]]:
        assert self.provider
        api = ApiClient(
            self.provider,
            self.url + self.provider.api_path,
            Secret("T", token) if token else None,
            retry_delay=POLL_INTERVAL,
        )
        return self.create_platform(api), api.close


class NetlifyHarness(EmulatedHarness):
    """A frontend at Netlify."""

    openapi_spec = "netlify"

    service = Service("web", "netlify", {"site": "shop"})
    provider = NETLIFY
    token = netlify.TOKEN
    emulator: netlify.NetlifyEmulator

    def create_emulator(self) -> Emulator:
        emulator = netlify.NetlifyEmulator()
        emulator.add_site("shop")
        return emulator

    def create_platform(self, api: ApiClient) -> Platform:
        return NetlifyPlatform(NetlifyClient(api), self.folder / "netlify", poll_interval=POLL_INTERVAL)

    def version_count(self) -> int:
        return len(self.emulator.deploys)

    @property
    def public_url(self) -> str:
        return f"{self.url}/s/shop/"

    def order(self, name: str) -> StageRequest:
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
    command = f"ABREAST_COMMIT=$RENDER_GIT_COMMIT exec {sys.executable} -S app.py"

    def create_emulator(self) -> Emulator:
        self._commits: dict[str, str] = {}
        self._repo = self.folder / "repo"
        self._repo.mkdir()
        _git(self._repo, "init", "-q")
        emulator = render.RenderEmulator(self.folder)
        self.cleanup.callback(emulator.close)
        emulator.add_service("api", self._repo, self.command, "/health")
        return emulator

    def create_platform(self, api: ApiClient) -> Platform:
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

    def order(self, name: str) -> StageRequest:
        return StageRequest(name, self.service, self.commit(name), self.folder, name, None, ENV)


class RenderHookHarness(RenderHarness):
    """The same with nothing but its deploy hook; what a process left half-way may be deployed twice."""

    provider: Provider | None = None
    detects_external_changes = False

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self.emulator.services["srv-api"].env = dict(ENV)
        settings = {"hook": "HOOK", "url": self.public_url}
        self.service = Service(
            "api", "render", settings, run="x", health=HealthSettings("/health"), build=Build(timeout=5)
        )

    def open_platform(self, token: str) -> tuple[Platform, Callable[[], Awaitable[None]]]:
        hook = Secret("HOOK", f"{self.url}/deploy/srv-api?key={render.HOOK_KEY}")
        api = ApiClient(RENDER, self.url, None)
        return RenderPlatform(RenderClient(api), {"HOOK": hook}.get, poll_interval=POLL_INTERVAL), api.close

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

    def create_platform(self, api: ApiClient) -> Platform:
        return HuggingFacePlatform(HubClient(api), poll_interval=POLL_INTERVAL)

    def version_count(self) -> int:
        space = self.emulator.spaces["owner/api"]
        titles = [self.emulator.commits[id_].title for id_ in space.branches["main"]]
        return len(space.branches) - 1 + len(set(titles) - {"initial commit", *space.branches})

    @property
    def public_url(self) -> str:
        return f"{self.url}/h/owner/api/"

    def order(self, name: str) -> StageRequest:
        tree = space_tree(self.folder / name, self.commit(name))
        return StageRequest(name, self.service, self.commit(name), tree, name, None)


class SpacePairHarness(SpaceHarness):
    """A backend in two Spaces; users are led to the address of the version that was turned last."""

    service = Service("api", "huggingface", {"space": "owner/api", "standby": "owner/api-b"}, run="x")
    detects_external_changes = False
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

    def order(self, name: str) -> StageRequest:
        order = super().order(name)
        live = LiveService("api", "huggingface", "v1", "", "", "", "", self._live, self.service) if self._live else None
        if name not in self._places:  # as a plan, which is made once

            async def reserve(platform: Platform) -> str:
                assert isinstance(platform, ReservesUrl)
                return await platform.reserve_url(self.service, live)

            self._places[name] = self.run(reserve)
        return replace(order, previous=live, reserved_url=self._places[name])


class LocalHarness(PlatformHarness):
    """A frontend on this machine."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        super().__init__(folder, cleanup)
        self._port = free_ports(1)[0]
        self.service = Service("web", "local", {"port": self._port})
        cleanup.callback(self.stop_all)

    def open_platform(self, token: str) -> tuple[Platform, Callable[[], Awaitable[None]]]:
        return LocalPlatform(self.folder / "home", self.folder / "logs", {}), _close_nothing

    def version_count(self) -> int:
        versions = self.folder / "home" / "versions"
        return len(list(versions.iterdir())) if versions.exists() else 0

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def order(self, name: str) -> StageRequest:
        return StageRequest(
            name, self.service, self.commit(name), _create_site(self.folder / name, self.commit(name)), name, None
        )


class StaticDirHarness(PlatformHarness):
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

    def open_platform(self, token: str) -> tuple[Platform, Callable[[], Awaitable[None]]]:
        return StaticDirPlatform(), _close_nothing

    def version_count(self) -> int:
        releases = self.root / "releases"
        return len(list(releases.iterdir())) if releases.exists() else 0

    @property
    def public_url(self) -> str:
        return self._url

    def order(self, name: str) -> StageRequest:
        return StageRequest(
            name, self.service, self.commit(name), _create_site(self.folder / name, self.commit(name)), name, None
        )


class StaticDirSshHarness(StaticDirHarness):
    """The same over SSH, to a server of its own on this machine."""

    programs = ("rsync", "ssh", "sshd")

    def settings(self) -> dict[str, str | int]:
        port, keys = free_ports(1)[0], self.folder / "ssh"
        keys.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
        config = (
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\n"
            f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
        )
        (keys / "config").write_text(config)
        Path("/run/sshd").mkdir(exist_ok=True)
        server = subprocess.Popen(
            [str(shutil.which("sshd")), "-D", "-e", "-f", keys / "config"], stderr=subprocess.DEVNULL
        )
        self.cleanup.callback(server.wait)
        self.cleanup.callback(server.terminate)
        command = f"ssh -p {port} -i {keys}/user -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        eventually(lambda: _is_listening(port))
        return {"to": f"{getpass.getuser()}@127.0.0.1:{self.root}", "url": self._url, "ssh": command}


def _is_listening(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True


class _CurrentRelease(StaticFiles):
    """Serves what ``current`` leads to, as a web server does."""

    def __init__(self, root: Path) -> None:
        super().__init__(directory=root / "current", html=True, check_dir=False, follow_symlink=True)


HARNESSES: Mapping[str, type[PlatformHarness]] = {
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
    (folder / "Dockerfile").write_text(f"FROM python:3\nCOPY . .\nCMD {command}\n")
    (folder / "app.py").write_text(APP_SOURCE)
    return folder


def _create_site(folder: Path, commit: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(json.dumps({"commit": commit}))
    return folder


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


async def _close_nothing() -> None:
    return None
