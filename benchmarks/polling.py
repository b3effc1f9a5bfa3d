"""How soon a change at a platform is noticed, and how many requests that takes."""

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
from abreast.platforms.cloud.api_client import ApiClient, Provider
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient
from abreast.platforms.huggingface.platform import HuggingFacePlatform
from abreast.platforms.interface import Platform, StageRequest, TrafficMove
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.platform import RenderPlatform
from abreast.testing.platforms import huggingface, netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer

MIN_WORK_SECONDS, MAX_WORK_SECONDS = 20.0, 60.0
"""Seconds that a platform works on a deploy; each by chance."""

SINGLE_RUNS, CONCURRENT_DEPLOYS = 3, 50
SERVER_SOURCE = "import os, http.server as s; s.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), s.SimpleHTTPRequestHandler).serve_forever()"
SERVER_COMMAND = [sys.executable, "-S", "-c", SERVER_SOURCE]


@dataclass
class PlatformSetup:
    """A platform whose emulator works for as long as ``takes`` says; ``due`` tells when a service's deploy is done."""

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
    """Middleware that notes when each look at how something gets on came."""

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
    """Return a table for each platform, alone and with many at once."""
    rows = []
    for make_setup in (_netlify_setup, _render_setup, _huggingface_setup):
        for count in (1, CONCURRENT_DEPLOYS):
            delays, most, limit, name = _measure(make_setup, count)
            rows.append(
                f"| {name} | {count} | {statistics.mean(delays):.1f} s | {max(delays):.1f} s | {most} | {most / limit:.0%} of {limit} |"
            )
    return "\n".join([
        "## Polling", "",
        f"Deploys that the emulator works on for {MIN_WORK_SECONDS:g} to {MAX_WORK_SECONDS:g} s: from its end until abreast goes on; at Render and",
        f"Hugging Face with the start of the service. One alone ({SINGLE_RUNS} times), and {CONCURRENT_DEPLOYS} at once. What is asked to make the",
        "deploys comes on top; where that is too much, the provider says so and is waited for.", "",
        "| platform | at once | delay, mean | longest | most looks in a minute | of its limit |", "|---|---|---|---|---|---|", *rows,
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
    """Stage and turn each service; return by how much later than it was done each was."""
    api = ApiClient(setup.provider, url + setup.provider.api_path, Secret("T", setup.token))
    platform = setup.make_platform(api)

    async def one(number: int) -> float:
        service = setup.make_service(number)
        artifact = folder / f"site{number}"
        artifact.mkdir()
        (artifact / "index.html").write_text(str(number))
        (artifact / "Dockerfile").write_text(f"FROM x\nCMD {json.dumps(SERVER_COMMAND)}\n")
        order = StageRequest(f"v-{number}", service, _head_commit(folder), artifact, "", None)
        version = await platform.stage(order, _ignore_progress)
        staged = time.monotonic()
        if platform.capabilities(service).has_candidates:
            return staged - setup.done_at(number)
        await platform.switch_traffic([TrafficMove(service, version)], _ignore_progress)
        return time.monotonic() - setup.done_at(number)

    delays = await asyncio.gather(*map(one, range(count)))
    await api.close()
    return list(delays)


async def _ignore_progress(*_: str) -> None:
    return None


def _netlify_setup(folder: Path, count: int) -> PlatformSetup:
    emulator = netlify.NetlifyEmulator()
    for number in range(count):
        emulator.add_site(f"s{number}")
    return PlatformSetup(
        "Netlify", 500, r"/deploys/[^/]+$", NETLIFY, netlify.TOKEN, emulator,
        lambda number: Service(f"s{number}", "netlify", {"site": f"s{number}"}, build=Build(timeout=600)),
        lambda api: NetlifyPlatform(NetlifyClient(api), folder / "home"),
        lambda number: next(one.done_at for one in emulator.deploys.values() if one.title == f"v-{number}"),
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
        lambda api: HuggingFacePlatform(HubClient(api)),
        lambda number: emulator.spaces[f"o/s{number}"].done_at,
    )  # fmt: skip


def _head_commit(folder: Path) -> str:
    """Return the commit of a repository in the folder, made where there is none."""
    repo = folder / "repo"
    if not repo.exists():
        repo.mkdir()
        (repo / "index.html").write_text("hello")
        for command in ("init -q", "add -A", "-c user.name=b -c user.email=b@localhost commit -qm Start"):
            subprocess.run(["git", *command.split()], cwd=repo, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True)
    return done.stdout.strip()
