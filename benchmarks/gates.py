"""Gates and builds in parallel: their total time against the longest command."""

import statistics
import tempfile
from datetime import datetime
from pathlib import Path

from abreast.ledger.sqlite import SqliteLedger
from benchmarks.bench_project import BenchProject

RUNS, LONGEST_COMMAND = 3, 8.0


def run() -> str:
    """Return a table of the time of gates and builds together, against the longest command."""
    ratios, took = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", 2, 12900, build=LONGEST_COMMAND * 0.6, hold=0, settle=0.1) as shop,
    ):
        for _ in range(RUNS):
            shop.set_gates(
                {"lint": "sleep 2", "types": f"sleep {LONGEST_COMMAND * 0.8}", "test": f"sleep {LONGEST_COMMAND}"}
            )
            shop.commit()
            shop.timed_abreast("deploy", "--yes")
            took.append(_gates_and_builds_seconds(shop.folder / ".abreast"))
            ratios.append(took[-1] / LONGEST_COMMAND)
    return f"""## Gates and build

Two services, each with a build of {LONGEST_COMMAND * 0.6:.1f} s and tests of {LONGEST_COMMAND:.0f} s; a linter of 2 s and a type checker of {LONGEST_COMMAND * 0.8:.1f} s. Time from the
first start to the last end, medians of {RUNS} runs. Goal: ≤ 1.1 times the longest command.

| | |
|---|---|
| gates and builds | {statistics.median(took):.2f} s |
| the longest command | {LONGEST_COMMAND:.2f} s |
| ratio | {statistics.median(ratios):.3f} |"""


def _gates_and_builds_seconds(state: Path) -> float:
    with SqliteLedger.open(state) as ledger:
        events = ledger.events(ledger.deployments(limit=1)[0].id)
    moments = [
        datetime.fromisoformat(event.at) for event in events if event.chapter in {"gates", "build"} and not event.state
    ]
    return (max(moments) - min(moments)).total_seconds()
