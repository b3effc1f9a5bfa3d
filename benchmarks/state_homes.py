"""Records that are kept elsewhere: what that costs a deployment, and eight writers that are killed at random."""

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from abreast.ledger.entries import EntryKind
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.interface import Home
from abreast.ledger.homes.postgres import PostgresHome
from abreast.ledger.mirror import Mirror
from benchmarks.bench_project import BenchProject
from benchmarks.tests_helpers import tests_module

WRITERS, RECORDS, PORTION = 8, 500, 10
DEPLOYMENTS = 5
DELAY = 0.3
"""Seconds that the remote takes to answer."""

SLOW_SSH = f"""#!/bin/sh
sleep {DELAY}
shift
exec sh -c "$*"
"""
"""Stands for ssh: reaches a repository of this machine, slowly."""

WRITER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from abreast.ledger.entries import EntryKind
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.postgres import PostgresHome
from abreast.ledger.mirror import Mirror
mirror = Mirror.open(Path(sys.argv[1]), lambda: datetime.now(UTC))
mirror.home = {home}
number = mirror.next_number(EntryKind.EVENT, sys.argv[2]) - 1
while number < {records}:
    with mirror.transaction():
        for number in range(number, number + {portion}):
            mirror.append(EntryKind.EVENT, sys.argv[2], str(number), {{"chapter": None, "state": None}})
    number += 1
    began = time.monotonic()
    mirror.push()
    print(time.monotonic() - began, flush=True)
"""


def run() -> str:
    """Return a table of deployments and one of writers."""
    with tests_module("postgres_server") as servers, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deployments = list(_deployment_rows(folder, servers.create_database()))
        writers = [_writers_row("git ref", folder / "w1", ""), _writers_row("PostgreSQL", folder / "w2", servers.create_database())]  # fmt: skip
    return "\n".join([
        "## Records kept elsewhere", "",
        (f"A deployment of two services that build for 2 s, with its record in each home; the git remote takes {DELAY:g} s to answer. "
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
    with BenchProject(folder / "shop", 2, 12900, build=2, hold=0, settle=1) as shop:
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


def _writers_row(title: str, folder: Path, url: str) -> str:
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder / "remote.git")], check=True)
    names = [f"w{number}" for number in range(WRITERS)]
    for name in names:
        clone = ["git", "clone", "--quiet", str(folder / "remote.git"), str(folder / name)]
        subprocess.run(clone, check=True, capture_output=True)
    began = time.monotonic()
    latencies = _run_killed(folder, names, url)
    seconds = time.monotonic() - began
    reader = Mirror.open(folder / "reader", lambda: datetime.now(UTC))
    reader.home = _home(folder / names[0], url)
    reader.pull()
    keys = {name: [entry.key for _, entry in reader.entries(EntryKind.EVENT, name)] for name in names}
    reader.close()
    total, distinct = sum(map(len, keys.values())), sum(len(set(found)) for found in keys.values())
    lost = WRITERS * RECORDS - distinct
    median, worst = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
    return f"| {title} | {total:,} | {lost} | {total - distinct} | {total / seconds:.0f} | {median:.2f} s | {worst:.2f} s |"


def _run_killed(folder: Path, names: list[str], url: str) -> list[float]:
    """Run all writers to their end, killing each three times. Returns the seconds of each portion to its home."""
    latencies: list[float] = []
    running = {name: _start(folder, name, url) for name in names}
    for name in names * 3:
        for _ in range(random.randrange(1, 6)):
            latencies += _latency(running[name])
        os.kill(running[name].pid, signal.SIGKILL)
        latencies += [float(line) for line in running[name].communicate()[0].splitlines() if line.strip()]
        running[name] = _start(folder, name, url)
    for process in running.values():
        latencies += [float(line) for line in process.communicate()[0].splitlines()]
        if process.returncode:
            raise RuntimeError("a writer failed")
    return latencies


def _latency(process: subprocess.Popen[str]) -> list[float]:
    assert process.stdout
    line = process.stdout.readline()
    return [float(line)] if line.strip() else []


def _start(folder: Path, name: str, url: str) -> subprocess.Popen[str]:
    home = f"PostgresHome({url!r}, 'bench')" if url else f"GitHome(Path({str(folder / name)!r}), 'bench', 'origin')"
    code = WRITER.format(home=home, records=RECORDS, portion=PORTION)
    command = [sys.executable, "-c", code, str(folder / f"state-{name}"), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _home(clone: Path, url: str) -> Home:
    return PostgresHome(url, "bench") if url else GitHome(clone, "bench", "origin")
