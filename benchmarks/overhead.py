"""Overhead: wall time of a deployment against its bare commands and probes; parallel against sequential."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from benchmarks.bench_project import BenchProject

BUILD, HOLD, SETTLE = 60.0, 5.0, 30.0
"""Seconds of each service's build, of its candidate's health hold, and of the watch."""


def run() -> str:
    """Return a table for 2, 20 and 200 services. Each is a first deployment, in which everything must start."""
    rows = []
    for count in (2, 20, 200):
        with (
            tempfile.TemporaryDirectory() as folder,
            BenchProject(Path(folder) / "shop", count, 12000, BUILD, HOLD, SETTLE) as shop,
        ):
            baseline = asyncio.run(_baseline_seconds(shop, count))
            wall = shop.timed_abreast("deploy", "--yes")
        rows.append(f"| {count} | {baseline:.1f} s | {wall:.1f} s | {wall / baseline:.3f} |")
    return "\n".join([
        "## Overhead", "",
        f"Each service builds for {BUILD:.0f} s, starts, and must stay healthy for {HOLD:.0f} s; then a watch of {SETTLE:.0f} s. Bare: a few lines of",
        "Python run the same commands and probes for all services at once. Goal: ≤ 1.05.", "",
        "| services | bare | abreast | ratio |", "|---|---|---|---|", *rows, "", _parallel_summary(),
    ])  # fmt: skip


async def _baseline_seconds(shop: BenchProject, count: int) -> float:
    """Return the seconds that the commands and probes of a deployment take without abreast."""
    began, servers = time.monotonic(), list[asyncio.subprocess.Process]()

    async def service(port: int) -> None:
        build = await asyncio.create_subprocess_shell(f"sleep {BUILD}")
        await build.wait()
        env = {**os.environ, "PORT": str(port)}
        servers.append(await asyncio.create_subprocess_shell(shop.command, cwd=shop.folder, env=env))
        while not await _is_healthy(port):
            await asyncio.sleep(0.03)
        await asyncio.sleep(HOLD)
        assert await _is_healthy(port)

    try:
        await asyncio.gather(*(service(13000 + number) for number in range(count)))
        await asyncio.sleep(SETTLE)
        return time.monotonic() - began
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def _is_healthy(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
    answer = await reader.readline()
    writer.close()
    return b" 200 " in answer


def _parallel_summary() -> str:
    count = 5
    with (
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", count, 12000, build=3, hold=0.5, settle=1) as shop,
    ):
        together = shop.timed_abreast("deploy", "--yes")
        shop.commit()
        sequential = sum(shop.timed_abreast("deploy", "--yes", "--service", f"s{number:03}") for number in range(count))
    return (
        f"{count} services with builds of 3 s take {together:.1f} s together, and {sequential:.1f} s one after the other: "
        f"{sequential / together:.1f} times as long."
    )
