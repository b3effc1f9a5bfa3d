"""Start-up time of commands, against a bare interpreter."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bench_project import BenchProject

RUNS = 25


def run() -> str:
    """Return a table of medians and ratios. ``status`` probes two running services."""
    abreast = str(Path(sys.executable).parent / "abreast")
    with (
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", 2, 12800, build=0, hold=0, settle=0.1) as shop,
    ):
        shop.timed_abreast("deploy", "--yes")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "abreast status": [abreast, "status"],
            "abreast --help": [abreast, "--help"],
            "abreast history": [abreast, "history"],
            "abreast plan": [abreast, "plan"],
            "abreast deploy --yes": [abreast, "deploy", "--yes"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=shop.folder, stdout=subprocess.DEVNULL, check=True)
                times[name].append((time.perf_counter() - began) * 1000)
    bare = times["python -c pass"]
    rows = [
        f"| `{name}` | {statistics.median(each):.1f} ms | {statistics.median(a / b for a, b in zip(each, bare, strict=True)):.2f} |"
        for name, each in times.items()
    ]
    return "\n".join(["## Start-up", "", f"Medians of {RUNS} alternating runs. `plan` and `deploy` find nothing to do. Goal: status ≤ 3.", "",
                      "| command | median | ratio |", "|---|---|---|", *rows])  # fmt: skip
