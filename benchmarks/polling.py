"""Polling: how soon abreast notices that a platform is done, and how many requests that takes."""

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from abreast.core.model import Build, Service
from abreast.core.secrets import Secret
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient
from abreast.platforms.huggingface.platform import HuggingFacePlatform
from abreast.platforms.interface import Platform, StageRequest, TrafficMove
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.platform import RenderPlatform
from abreast.provider_api.api_client import ApiClient, Provider
from abreast.testing.platforms import huggingface, netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer

MIN_WORK_SECONDS, MAX_WORK_SECONDS = 20.0, 60.0
"""Bounds of the random time in seconds that a platform processes a deploy."""

SINGLE_RUNS, CONCURRENT_DEPLOYS = 3, 50
SERVER_SOURCE = "import os, http.server as s; s.HTTPServer(('', int(os.environ['PORT'])), s.SimpleHTTPRequestHandler).serve_forever()"
SERVER_COMMAND = [sys.executable, "-S", "-c", SERVER_SOURCE]


@dataclass
class PlatformSetup:
    """A platform with its emulator. ``done_at`` returns when the deploy of a service is done (monotonic)."""

    name: str
    rate_limit: int
    poll_path: str
    provider: Provider
    token: str
    emulator: Any
    make_service: Callable[[int], Service]
    make_platform: Callable[[ApiClient], Platform]
    done_at: Callable[[int], float]


class PollCounter:
    """Middleware that records the times of all polls: GET requests that match ``poll_path``."""

    def __init__(self, app: ASGIApp, poll_path: str) -> None:
        self._app = app
        self._poll_path = poll_path
        self.poll_times: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and re.search(self._poll_path, scope["path"]):
            self.poll_times.append(time.monotonic())
        await self._app(scope, receive, send)

    def max_per_minute(self) -> int:
        return max(sum(begin <= at < begin + 60 for at in self.poll_times) for begin in self.poll_times)


def run() -> str:
    """Return a table for each platform: one deploy alone, and many at once."""
    rows = []
    for make_setup in (_netlify_setup, _render_setup, _huggingface_setup):
        for count in (1, CONCURRENT_DEPLOYS):
            delays, most, limit, name = _measure(make_setup, count)
            rows.append(
                f"| {name} | {count} | {statistics.mean(delays):.1f} s | {max(delays):.1f} s | {most} | {most / limit:.0%} of {limit} |"
            )
    return "\n".join([
        "## Polling", "",
        f"The emulator processes each deploy for {MIN_WORK_SECONDS:g} to {MAX_WORK_SECONDS:g} s. Delay: time from the end of that until abreast continues; at Render and",
        f"Hugging Face it includes the start of the service. One deploy alone ({SINGLE_RUNS} times), and {CONCURRENT_DEPLOYS} at once. Requests that create the",
        "deploys are not counted; if they exceed the limit, the provider reports it and abreast waits.", "",
        "| platform | at once | delay, mean | longest | most polls per minute | share of the limit |", "|---|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _measure(make_setup: Callable[[Path, int], PlatformSetup], count: int) -> tuple[list[float], int, int, str]:
    delays, most, limit, name = list[float](), 0, 0, ""
    for number in range(1 if count > 1 else SINGLE_RUNS):
        with tempfile.TemporaryDirectory() as folder:
            setup = make_setup(Path(folder), count)
            limit, name = setup.rate_limit, setup.name
            setup.emulator.work_seconds = partial(random.Random(number).uniform, MIN_WORK_SECONDS, MAX_WORK_SECONDS)
            counter = PollCounter(setup.emulator.app, setup.poll_path)
            with ThreadedServer(counter) as served:
                delays += asyncio.run(_deploy_delays(setup, served.url, Path(folder), count))
            if close := getattr(setup.emulator, "close", None):
                close()
            most = max(most, counter.max_per_minute())
    return delays, most, limit, name


async def _deploy_delays(setup: PlatformSetup, url: str, folder: Path, count: int) -> list[float]:
    """Deploy all services at once; return for each the seconds from its end at the platform until it was noticed."""
    api = ApiClient(setup.provider, url + setup.provider.api_path, Secret("T", setup.token))
    platform = setup.make_platform(api)

    async def deploy(number: int) -> float:
        service = setup.make_service(number)
        artifact = folder / f"site{number}"
        artifact.mkdir()
        (artifact / "index.html").write_text(str(number))
        (artifact / "Dockerfile").write_text(f"FROM x\nENV PORT=7860\nCOPY . .\nCMD {json.dumps(SERVER_COMMAND)}\n")
        order = StageRequest(f"v-{number}", service, _head_commit(folder), artifact, "", None)
        version = await platform.stage(order, _ignore_progress)
        staged = time.monotonic()
        if platform.capabilities(service).has_candidates:
            return staged - setup.done_at(number)
        await platform.switch_traffic([TrafficMove(service, version)], _ignore_progress)
        return time.monotonic() - setup.done_at(number)

    delays = await asyncio.gather(*map(deploy, range(count)))
    await api.close()
    return list(delays)


async def _ignore_progress(*_: str) -> None:
    return None


def _netlify_setup(folder: Path, count: int) -> PlatformSetup:
    emulator = netlify.NetlifyEmulator(netlify.UNLIMITED)
    for number in range(count):
        emulator.add_site(f"s{number}")
    return PlatformSetup(
        "Netlify", 500, r"/deploys/[^/]+$", NETLIFY, netlify.TOKEN, emulator,
        lambda number: Service(f"s{number}", "netlify", {"site": f"s{number}"}, build=Build(timeout=600)),
        lambda api: NetlifyPlatform(NetlifyClient(api), folder / "home"),
        lambda number: next(deploy.done_at for deploy in emulator.deploys.values() if deploy.title == f"v-{number}"),
    )  # fmt: skip


def _render_setup(folder: Path, count: int) -> PlatformSetup:
    emulator = render.RenderEmulator(folder)
    _head_commit(folder)
    for number in range(count):
        emulator.add_service(f"s{number}", folder / "repo", f'exec {sys.executable} -S -c "{SERVER_SOURCE}"')
    return PlatformSetup(
        "Render", 400, r"/deploys(/[^/]+)?$", RENDER, render.TOKEN, emulator,
        lambda number: Service(f"s{number}", "render", {"service": f"srv-s{number}"}, run="x", build=Build(timeout=600)),
        lambda api: RenderPlatform(RenderClient(api), lambda _: None),
        lambda number: emulator.services[f"srv-s{number}"].deploys[-1].done_at,
    )  # fmt: skip


def _huggingface_setup(folder: Path, count: int) -> PlatformSetup:
    emulator = huggingface.HuggingFaceEmulator(folder)
    for number in range(count):
        emulator.add_space(f"o/s{number}")
    return PlatformSetup(
        "Hugging Face", 200, "/runtime$", HUGGING_FACE, huggingface.TOKEN, emulator,
        lambda number: Service(f"s{number}", "huggingface", {"space": f"o/s{number}"}, run="x", build=Build(timeout=600)),
        lambda api: HuggingFacePlatform(HubClient(api), None),
        lambda number: emulator.spaces[f"o/s{number}"].done_at,
    )  # fmt: skip


def _head_commit(folder: Path) -> str:
    """Return the commit of the repository in the folder, creating it if needed."""
    repo = folder / "repo"
    if not repo.exists():
        repo.mkdir()
        (repo / "index.html").write_text("hello")
        for command in ("init -q", "add -A", "-c user.name=b -c user.email=b@localhost commit -qm Start"):
            subprocess.run(["git", *command.split()], cwd=repo, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True)
    return done.stdout.strip()
