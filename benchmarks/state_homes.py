"""Records that are kept elsewhere: what that costs a deployment, and eight writers that are killed at random."""

import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from abreast.ledger.entries import EntryKind
from abreast.ledger.mirror import Mirror
from benchmarks.bench_project import BenchProject
from benchmarks.tests_helpers import tests_module

WRITERS, RECORDS, PORTION = 8, 500, 10
DEPLOYMENTS = 5
BUILD = 5
"""Seconds that a build takes. All else is as it is without settings: 1 s until healthy, 10 s that users are watched."""
DELAY = 0.3
"""Seconds that the remote takes to answer."""

SLOW_SSH = f"""#!/bin/sh
sleep {DELAY}
shift
exec sh -c "$*"
"""
"""Stands for ssh: reaches a repository of this machine, slowly."""


def run() -> str:
    """Return a table of deployments and one of writers."""
    with tests_module("state_worlds") as worlds, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deployments = list(_deployment_rows(folder, worlds.PostgresWorld().url))
        writers = [
            _writers_row(worlds, "git ref", folder / "git", worlds.GitWorld(folder / "git")),
            _writers_row(worlds, "PostgreSQL", folder / "postgresql", worlds.PostgresWorld()),
        ]
    return "\n".join([
        "## Records kept elsewhere", "",
        (f"A deployment of two services that build for {BUILD} s and have no settings, with its record in each home; the git "
        f"remote takes {DELAY:g} s to answer. "
        f"Medians of {DEPLOYMENTS} alternating runs. Goal: ≤ 1.10 times the folder."), "",
        "| home | deployment | ratio |", "|---|---|---|", *deployments, "",
        (f"{WRITERS} machines record {RECORDS} entries each, {PORTION} at a time, into one chain; each is killed at random 3 times. "
        "Goal: none is lost or doubled."), "",
        "| home | entries | lost | doubled | entries a second | until it is there, p50 | p99 |", "|---|---|---|---|---|---|---|", *writers,
    ])  # fmt: skip


def _deployment_rows(folder: Path, url: str) -> Iterator[str]:
    ssh, remote = folder / "ssh", folder / "remote.git"
    ssh.write_text(SLOW_SSH)
    ssh.chmod(0o755)
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    with BenchProject(folder / "shop", 2, 12900, build=BUILD, hold=1, settle=10) as shop:
        shop.git("remote", "add", "origin", f"ssh://here{remote}")
        shop.git("config", "core.sshCommand", str(ssh))
        shop.git("config", "ssh.variant", "simple")
        homes = {"a folder": "", "git ref": "git", "PostgreSQL": url}
        times: dict[str, list[float]] = {home: [] for home in homes}
        shop.timed_abreast("deploy", "--yes")
        for _ in range(DEPLOYMENTS):
            for home, location in homes.items():
                shop.commit()
                with _state(location):
                    times[home].append(shop.timed_abreast("deploy", "--yes"))
    for home, found in times.items():
        ratio = statistics.median(found) / statistics.median(times["a folder"])
        yield f"| {home} | {statistics.median(found):.2f} s | {ratio:.2f} |"


@contextmanager
def _state(location: str) -> Iterator[None]:
    os.environ["ABREAST_STATE"] = location
    try:
        yield
    finally:
        del os.environ["ABREAST_STATE"]


def _writers_row(worlds: ModuleType, title: str, folder: Path, world: Any) -> str:  # noqa: ANN401 (of the tests)
    folder.mkdir(exist_ok=True)
    names = [f"w{number}" for number in range(WRITERS)]
    for name in names:
        world.home(name).close()  # makes its clone

    def start(name: str) -> subprocess.Popen[str]:
        found: subprocess.Popen[str] = worlds.start_writer(world, folder / f"state-{name}", name, RECORDS, PORTION)
        return found

    began = time.monotonic()
    latencies = _run_killed(names, start)
    seconds = time.monotonic() - began
    with Mirror.open(folder / "reader", lambda: datetime.now(UTC)) as reader:
        reader.home = world.home(names[0])
        reader.pull()
        keys = {name: [entry.key for _, entry in reader.entries(EntryKind.EVENT, name)] for name in names}
    total, distinct = sum(map(len, keys.values())), sum(len(set(found)) for found in keys.values())
    lost = WRITERS * RECORDS - distinct
    median, worst = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
    return f"| {title} | {total:,} | {lost} | {total - distinct} | {total / seconds:.0f} | {median:.2f} s | {worst:.2f} s |"


def _run_killed(names: list[str], start: Callable[[str], subprocess.Popen[str]]) -> list[float]:
    """Run all writers to their end, killing each three times. Returns the seconds of each portion to its home."""
    said: list[str] = []
    running = {name: start(name) for name in names}
    for name in names * 3:
        stdout = running[name].stdout
        assert stdout
        said += [stdout.readline() for _ in range(random.randrange(1, 6))]
        os.kill(running[name].pid, signal.SIGKILL)
        said += running[name].communicate()[0].splitlines()
        running[name] = start(name)
    for process in running.values():
        said += process.communicate()[0].splitlines()
        if process.returncode:
            raise RuntimeError("a writer failed")
    return [float(line) for line in said if line.strip()]
