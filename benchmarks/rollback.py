"""Rollback: time until all traffic is on the old version, warm (during the watch) and cold."""

import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from benchmarks.bench_project import BenchProject

RUNS = 5


def run() -> str:
    """Return a table of medians, measured from the start of ``abreast rollback``."""
    with (
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", 2, 12900, build=0, hold=0, settle=0.1) as shop,
    ):
        shop.timed_abreast("deploy", "--yes")
        cold = [_cold_rollback_seconds(shop) for _ in range(RUNS)]
        text = (shop.folder / "abreast.yml").read_text().replace("settle: 100ms", "settle: 60s")
        (shop.folder / "abreast.yml").write_text(text)
        requested, warm = zip(*(_warm_rollback_seconds(shop) for _ in range(RUNS)), strict=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", 2, 12900, build=0, hold=1, settle=0.1) as shop,
    ):
        shop.timed_abreast("deploy", "--yes")
        standard, emergency = zip(
            *((_cold_rollback_seconds(shop), _cold_rollback_seconds(shop, "--emergency")) for _ in range(RUNS)),
            strict=True,
        )
    rows = [
        f"| {name} | {sorted(each)[len(each) // 2]:.2f} s | {min(each):.2f} to {max(each):.2f} s |"
        for name, each in (
            ("during the watch: until the request is recorded", requested),
            ("during the watch", warm),
            ("cold: the old version must start first", cold),
            ("cold, and health must hold for 1 s, as by default", standard),
            ("the same as an emergency", emergency),
        )
    ]
    return "\n".join([
        "## Rollback", "", f"Time from the start of `abreast rollback` until all traffic is on the old version, {RUNS} runs. Goals: during the watch < 0.3 s, an emergency no slower than any other.", "",
        "| | median | range |", "|---|---|---|", *rows,
    ])  # fmt: skip


def _cold_rollback_seconds(shop: BenchProject, *options: str) -> float:
    """Return the seconds until the last user is on the old version, which must start first."""
    shop.commit()
    shop.timed_abreast("deploy", "--yes")
    began = time.time()
    shop.timed_abreast("rollback", "--yes", "--reason", "bench", *options)
    return _finished_at(shop, "turn") - began


def _warm_rollback_seconds(shop: BenchProject) -> tuple[float, float]:
    """Return the seconds from the command's start to its request, and to the last user on the old version."""
    shop.commit()
    with subprocess.Popen(
        [sys.executable, "-m", "abreast", "deploy", "--yes"], cwd=shop.folder, stdout=subprocess.PIPE, text=True
    ) as deploying:
        assert deploying.stdout
        while "watch" not in (line := deploying.stdout.readline()):
            if not line:
                raise RuntimeError("the deployment ended before its watch")
        began = time.time()
        shop.timed_abreast("rollback", "--yes", "--reason", "bench")
        deploying.stdout.read()
    return _requested_at(shop) - began, _finished_at(shop, "turn-back") - began


def _requested_at(shop: BenchProject) -> float:
    with closing(sqlite3.connect(shop.folder / ".abreast" / "ledger.db")) as ledger:
        ((at,),) = ledger.execute(
            "SELECT json_extract(entry, '$.at') FROM entries WHERE kind = 'request' ORDER BY seq DESC LIMIT 1"
        ).fetchall()
    return datetime.fromisoformat(at).timestamp()


def _finished_at(shop: BenchProject, chapter: str) -> float:
    ended = [event["at"] for event in shop.events() if event["chapter"] == chapter and event["kind"] == "finished"]
    return datetime.fromisoformat(ended[-1]).timestamp()
