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
from abreast.platforms.cloud.api import Api, Provider
from abreast.platforms.huggingface.client import HUGGING_FACE, Hub
from abreast.platforms.huggingface.platform import HuggingFacePlatform
from abreast.platforms.interface import Platform, StageRequest, TrafficMove
from abreast.platforms.netlify.client import NETLIFY, Netlify
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.platforms.render.client import RENDER, Render
from abreast.platforms.render.platform import RenderPlatform
from abreast.testing.platforms import huggingface, netlify, render
from abreast.testing.platforms.server import Served

SHORTEST, LONGEST = 20.0, 60.0
"""Seconds that a platform works on a deploy; each by chance."""

ALONE, MANY = 3, 50
APP = "import os, http.server as s; s.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), s.SimpleHTTPRequestHandler).serve_forever()"
COMMAND = [sys.executable, "-S", "-c", APP]


@dataclass
class Cloud:
    """A platform whose emulator works for as long as ``takes`` says; ``due`` tells when a service's deploy is done."""

    name: str
    limit: int
    look: str
    provider: Provider
    token: str
    emulator: Any
    service: Callable[[int], Service]
    of: Callable[[Api], Platform]
    due: Callable[[int], float]


class Counted:
    """Middleware that notes when each look at how something gets on came."""

    def __init__(self, app: ASGIApp, look: str) -> None:
        self._app = app
        self._look = look
        self.at: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and re.search(self._look, scope["path"]):
            self.at.append(time.monotonic())
        await self._app(scope, receive, send)

    def most_in_a_minute(self) -> int:
        return max(sum(begin <= at < begin + 60 for at in self.at) for begin in self.at)


def run() -> str:
    """Return a table for each platform, alone and with many at once."""
    rows = []
    for make in (_netlify, _render, _huggingface):
        for count in (1, MANY):
            delays, most, limit, name = _measured(make, count)
            rows.append(
                f"| {name} | {count} | {statistics.mean(delays):.1f} s | {max(delays):.1f} s | {most} | {most / limit:.0%} of {limit} |"
            )
    return "\n".join([
        "## Polling", "",
        f"Deploys that the emulator works on for {SHORTEST:g} to {LONGEST:g} s: from its end until abreast goes on; at Render and",
        f"Hugging Face with the start of the service. One alone ({ALONE} times), and {MANY} at once. What is asked to make the",
        "deploys comes on top; where that is too much, the provider says so and is waited for.", "",
        "| platform | at once | delay, mean | longest | most looks in a minute | of its limit |", "|---|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _measured(make: Callable[[Path, int], Cloud], count: int) -> tuple[list[float], int, int, str]:
    delays, most, limit, name = list[float](), 0, 0, ""
    for number in range(1 if count > 1 else ALONE):
        with tempfile.TemporaryDirectory() as folder:
            cloud = make(Path(folder), count)
            limit, name = cloud.limit, cloud.name
            cloud.emulator.takes = partial(random.Random(number).uniform, SHORTEST, LONGEST)
            counted = Counted(cloud.emulator.app, cloud.look)
            with Served(counted) as served:
                delays += asyncio.run(_deployed(cloud, served.url, Path(folder), count))
            if close := getattr(cloud.emulator, "close", None):
                close()
            most = max(most, counted.most_in_a_minute())
    return delays, most, limit, name


async def _deployed(cloud: Cloud, url: str, folder: Path, count: int) -> list[float]:
    """Stage and turn each service; return by how much later than it was done each was."""
    api = Api(cloud.provider, url + cloud.provider.path, Secret("T", cloud.token))
    platform = cloud.of(api)

    async def one(number: int) -> float:
        service = cloud.service(number)
        artifact = folder / f"site{number}"
        artifact.mkdir()
        (artifact / "index.html").write_text(str(number))
        (artifact / "Dockerfile").write_text(f"FROM x\nCMD {json.dumps(COMMAND)}\n")
        order = StageRequest(f"v-{number}", service, _head(folder), artifact, "", None)
        version = await platform.stage(order, _nothing)
        staged = time.monotonic()
        if platform.capabilities(service).has_candidates:
            return staged - cloud.due(number)
        await platform.switch_traffic([TrafficMove(service, version)], _nothing)
        return time.monotonic() - cloud.due(number)

    delays = await asyncio.gather(*map(one, range(count)))
    await api.close()
    return list(delays)


async def _nothing(*_: str) -> None:
    return None


def _netlify(folder: Path, count: int) -> Cloud:
    emulator = netlify.NetlifyEmulator()
    for number in range(count):
        emulator.add_site(f"s{number}")
    return Cloud(
        "Netlify", 500, r"/deploys/[^/]+$", NETLIFY, netlify.TOKEN, emulator,
        lambda number: Service(f"s{number}", "netlify", {"site": f"s{number}"}, build=Build(timeout=600)),
        lambda api: NetlifyPlatform(Netlify(api), folder / "home"),
        lambda number: next(one.due for one in emulator.deploys.values() if one.title == f"v-{number}"),
    )  # fmt: skip


def _render(folder: Path, count: int) -> Cloud:
    emulator = render.RenderEmulator(folder)
    _head(folder)
    for number in range(count):
        emulator.add_service(f"s{number}", folder / "repo", f'exec {sys.executable} -S -c "{APP}"')
    return Cloud(
        "Render", 400, r"/deploys(/[^/]+)?$", RENDER, render.TOKEN, emulator,
        lambda number: Service(f"s{number}", "render", {"service": f"srv-s{number}"}, run="x", build=Build(timeout=600)),
        lambda api: RenderPlatform(Render(api), lambda _: None),
        lambda number: emulator.services[f"srv-s{number}"].deploys[-1].due,
    )  # fmt: skip


def _huggingface(folder: Path, count: int) -> Cloud:
    emulator = huggingface.HuggingFaceEmulator(folder)
    for number in range(count):
        emulator.add_space(f"o/s{number}")
    return Cloud(
        "Hugging Face", 200, "/runtime$", HUGGING_FACE, huggingface.TOKEN, emulator,
        lambda number: Service(f"s{number}", "huggingface", {"space": f"o/s{number}"}, run="x", build=Build(timeout=600)),
        lambda api: HuggingFacePlatform(Hub(api)),
        lambda number: emulator.spaces[f"o/s{number}"].due,
    )  # fmt: skip


def _head(folder: Path) -> str:
    """Return the commit of a repository in the folder, made where there is none."""
    repo = folder / "repo"
    if not repo.exists():
        repo.mkdir()
        (repo / "index.html").write_text("hello")
        for command in ("init -q", "add -A", "-c user.name=b -c user.email=b@localhost commit -qm Start"):
            subprocess.run(["git", *command.split()], cwd=repo, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True)
    return done.stdout.strip()
