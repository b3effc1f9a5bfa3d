"""Netlify: upload a site to the emulator, with abreast and with Netlify's own command line."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abreast.testing.platforms.netlify import TOKEN

FILE_COUNTS = (4, 600, 5000)
RUNS = 3
FILE_SIZE = 2000
NETLIFY_CLI = Path(sys.prefix) / "netlify-cli" / "node_modules" / ".bin" / "netlify"
"""Installed by the tests."""

ABREAST_SCRIPT = """
import asyncio, sys, time
from pathlib import Path
from abreast.core.model import Service
from abreast.core.secrets import Secret
from abreast.provider_api.api_client import ApiClient
from abreast.platforms.interface import StageRequest, TrafficMove
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform

async def ignore_progress(service, text):
    pass

async def deploy(url, token, site, version):
    api = ApiClient(NETLIFY, url + "/api/v1", Secret("T", token))
    platform = NetlifyPlatform(NetlifyClient(api), Path(site).parent / "home")
    service = Service("web", "netlify", {"site": "shop"})
    staged = await platform.stage(StageRequest(version, service, "0" * 40, Path(site), "", None), ignore_progress)
    await platform.switch_traffic([TrafficMove(service, staged)], ignore_progress)

if len(sys.argv) > 1:
    asyncio.run(deploy(*sys.argv[1:]))
"""
"""Stages a draft and publishes it. Without arguments it only imports."""


def run() -> str:
    """Return a table of both tools on the same sites: first upload, and unchanged."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "ours.py"
        program.write_text(ABREAST_SCRIPT)
        starts = {
            "abreast": _median_seconds([sys.executable, str(program)]),
            "netlify-cli": _median_seconds([str(NETLIFY_CLI), "--version"]),
        }
        for size in FILE_COUNTS:
            took: dict[tuple[str, str], list[float]] = {}
            for number in range(RUNS):
                for tool in starts:
                    with _run_emulator() as url:
                        site = _create_site(Path(folder) / f"{tool}-{size}-{number}", size)
                        for scenario in ("first", "unchanged"):
                            command = _command(tool, program, url, site, scenario)
                            took.setdefault((scenario, tool), []).append(_time_command(command, url))
            for scenario in ("first", "unchanged"):
                ours, theirs = (statistics.median(took[scenario, who]) for who in starts)
                without_startup = (theirs - starts["netlify-cli"]) / (ours - starts["abreast"])
                rows.append(
                    f"| {size} | {scenario} | {theirs:.2f} s | {ours:.2f} s | {theirs / ours:.1f} | {without_startup:.1f} |"
                )
    return "\n".join([
        "## Netlify upload", "",
        f"Medians of {RUNS} alternating runs, each against a new emulator in its own process; files of {FILE_SIZE} bytes. Both tools publish;",
        f"abreast stages a draft first. \"Less start-up\" subtracts each tool's start-up time ({starts['netlify-cli']:.2f} s `netlify --version`, {starts['abreast']:.2f} s",
        "Python with all imports). Goal: ≥ 5.",
        "", "| files | | netlify-cli | abreast | ratio | less start-up |", "|---|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _command(tool: str, program: Path, url: str, site: Path, version: str) -> list[str]:
    if tool == "abreast":
        return [sys.executable, str(program), url, TOKEN, str(site), version]
    cli = [str(NETLIFY_CLI), "deploy", "--dir", str(site), "--site", "shop", "--auth", TOKEN]
    return [*cli, "--prod", "--no-build", "--json"]


def _time_command(command: list[str], url: str = "") -> float:
    began = time.perf_counter()
    variables = {**os.environ, "NETLIFY_API_URL": url, "CI": "1", "HOME": tempfile.gettempdir()}
    done = subprocess.run(command, env=variables, cwd=tempfile.gettempdir(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return time.perf_counter() - began


def _median_seconds(command: list[str]) -> float:
    return statistics.median(_time_command(command) for _ in range(5))


def _create_site(folder: Path, file_count: int) -> Path:
    folder.mkdir()
    for number in range(file_count):
        part = folder / f"{number // 100}"
        part.mkdir(exist_ok=True)
        (part / f"{number}.js").write_bytes(os.urandom(FILE_SIZE))
    (folder / "index.html").write_text(json.dumps({"site": folder.name}))
    return folder


@contextmanager
def _run_emulator() -> Iterator[str]:
    command = [sys.executable, "-m", "abreast.testing.platforms", "--netlify", "12799", "--site", "shop"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    try:
        yield line.split("NETLIFY_API_URL=")[1].split()[0]
    finally:
        process.terminate()
        process.wait()
