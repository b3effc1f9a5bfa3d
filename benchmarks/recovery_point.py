"""The recovery point of the continuous backup: how much is lost if the machine dies under a constant load of writes."""

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from abreast.testing.process_tree import kill_at_once, processes_of
from benchmarks.bench_project import BenchProject
from benchmarks.tests_helpers import tests_module

RUNS = int(os.environ.get("ABREAST_RECOVERIES", "10"))
URL_VARIABLE = "BENCH_DATABASE_URL"
MAX_SECONDS = 20
"""Seconds of writes until everything is killed, at most."""

WRITER = """
import sys, time
connect, log = sys.argv[1], open(sys.argv[2], "w", buffering=1)
if connect.startswith("postgresql"):
    import psycopg
    db = psycopg.connect(connect, autocommit=True)
else:
    import sqlite3
    db = sqlite3.connect(connect, timeout=30, isolation_level=None)
for number in range(10**9):
    db.execute(f"INSERT INTO orders VALUES ({number})")
    log.write(f"{number} {time.time()}\\n")
    time.sleep(0.002)
"""


def run() -> str:
    """Return a table of both engines."""
    with tests_module("postgres_server") as postgres:
        rows = [
            _measure("SQLite", "sqlite:///shop.db", 13200),
            _measure("PostgreSQL", postgres.create_database(), 13210),
        ]
    return "\n".join([
        "## Recovery point", "",
        "A program inserts some hundred rows a second. `abreast db backup --scheduled` records them (`backups: {continuous: 1d}`).",
        "At a random moment it is killed, with all that it started. Then `abreast db restore latest`: the time from the kill back to the",
        "first acknowledged row that did not come back. Goal: 1 hour.", "",
        "| engine | kills | lost, median | most |", "|---|---|---|---|", *rows,
    ])  # fmt: skip


def _measure(engine: str, url: str, first_port: int) -> str:
    with tempfile.TemporaryDirectory() as folder, _shop_with_database(Path(folder) / "shop", url, first_port) as shop:
        file = shop.folder / ".abreast" / "local" / "local" / "data" / "s000" / "shop.db"
        target = url if engine == "PostgreSQL" else str(file)
        lost = [_seconds_lost(shop, target) for _ in range(RUNS)]
    return f"| {engine} | {RUNS} | {statistics.median(lost):.1f} s | {max(lost):.1f} s |"


def _shop_with_database(folder: Path, url: str, first_port: int) -> BenchProject:
    shop = BenchProject(folder, 1, first_port, build=0, hold=0, settle=0.1)
    config = yaml.safe_load((folder / "abreast.yml").read_text())
    os.environ[URL_VARIABLE] = url
    config["services"]["s000"]["database"] = {"url": f"${{{URL_VARIABLE}}}"}
    config["backups"] = {"continuous": "1d"}
    (folder / "abreast.yml").write_text(yaml.safe_dump(config))
    shop.commit()
    shop.timed_abreast("deploy", "--yes")
    return shop


def _seconds_lost(shop: BenchProject, target: str) -> float:
    log = shop.folder.parent / "acknowledged"
    with closing(_connect(target)) as db:
        db.execute("DROP TABLE IF EXISTS orders")
        db.execute("CREATE TABLE orders (id integer)")
        db.commit()
    with _recording(shop), subprocess.Popen([sys.executable, "-c", WRITER, target, log]) as writer:
        time.sleep(random.uniform(MAX_SECONDS / 2, MAX_SECONDS))
        writer.kill()
        _kill_recording(shop)
    killed = time.time()
    shop.timed_abreast("db", "restore", "latest", "--yes", "--reason", "the machine has died")
    with closing(_connect(target)) as db:
        found = {id_ for (id_,) in db.execute("SELECT id FROM orders").fetchall()}
    lines = (line.split() for line in log.read_text().splitlines())
    lost = [float(at) for id_, at in lines if int(id_) not in found]
    return killed - min(lost, default=killed)


@contextmanager
def _recording(shop: BenchProject) -> Iterator[None]:
    """Record changes for the block, from when the first are stored."""
    command = [sys.executable, "-m", "abreast", "db", "backup", "--scheduled"]
    manifest = shop.folder / ".abreast" / "backups" / "local" / "s000" / "changes" / "manifest.json"
    before = manifest.stat().st_mtime if manifest.exists() else 0
    with subprocess.Popen(command, cwd=shop.folder, stderr=subprocess.DEVNULL) as recording:
        _wait_until(lambda: manifest.exists() and manifest.stat().st_mtime > before)
        yield
        recording.send_signal(signal.SIGKILL)


def _kill_recording(shop: BenchProject) -> None:
    words = ("--scheduled", "litestream", "pg_receivewal", "pg_basebackup")
    kill_at_once(pid for pid, line in processes_of(shop.folder) if any(word in line for word in words))


def _connect(target: str) -> Any:  # noqa: ANN401 (a connection of either engine)
    if target.startswith("postgresql"):
        import psycopg  # noqa: PLC0415 (for one of the engines)

        return psycopg.connect(target)
    import sqlite3  # noqa: PLC0415 (for the other)

    return sqlite3.connect(target)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the continuous backup did not start")
        time.sleep(0.1)
