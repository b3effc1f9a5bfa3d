"""Start-up time of commands, against a bare interpreter."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_project import BenchProject

RUNS = 25
GIT_SCRIPT = """#!/bin/sh
test -e {note} || date +%s%N > {note}
exec {git} "$@"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: milliseconds until the first git began, None if there was none, and until the end."""

    began: float | None
    ended: float


def run() -> str:
    """Return a table of medians and ratios. ``status`` probes two running services."""
    abreast = str(Path(sys.executable).parent / "abreast")
    with (
        tempfile.TemporaryDirectory() as folder,
        BenchProject(Path(folder) / "shop", 2, 12800, build=0, hold=0, settle=0.1) as shop,
    ):
        shop.timed_abreast("deploy", "--yes")
        shop.commit()
        shop.timed_abreast("deploy", "--yes")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "abreast status": [abreast, "status"],
            "abreast --help": [abreast, "--help"],
            "abreast history": [abreast, "history"],
            "abreast plan": [abreast, "plan"],
            "abreast deploy --yes": [abreast, "deploy", "--yes"],
            "abreast rollback": [abreast, "rollback", "--reason", "benchmark"],
        }
        environment = _noting_environment(Path(folder))
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                runs[name].append(_run(command, shop.folder, environment))
    rows = [_row(name, each, runs["python -c pass"]) for name, each in runs.items()]
    return "\n".join(["## Start-up", "",
                      f"Medians of {RUNS} alternating runs. `plan` and `deploy` find nothing to do; `rollback` stops at its question.",
                      "Begins its work: when its first child process, git, starts. Goals: status ≤ 3; every command that deploys",
                      "begins ≤ 300 ms after its start where a bare interpreter takes 15 ms, a ratio of 20.", "",
                      "| command | begins its work | ratio | in all | ratio |", "|---|---|---|---|---|", *rows])  # fmt: skip


def _noting_environment(folder: Path) -> dict[str, str]:
    """Return an environment with a git that notes when it was first started."""
    programs = folder / "bin"
    programs.mkdir()
    note = folder / "first-git"  # in the script: git gets few variables
    (programs / "git").write_text(GIT_SCRIPT.format(git=shutil.which("git"), note=note))
    (programs / "git").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "FIRST_GIT": str(note)}


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Run:
    note = Path(environment["FIRST_GIT"])
    note.unlink(missing_ok=True)
    start = time.time_ns()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    ended = (time.time_ns() - start) / 1e6
    if done.returncode and "cannot ask for confirmation" not in done.stderr:
        raise RuntimeError(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Run((int(note.read_text()) - start) / 1e6 if note.exists() else None, ended)


def _row(name: str, runs: Sequence[Run], bare: Sequence[Run]) -> str:
    """Return a row of the table. A ratio is the median of those to the bare interpreter of the same round."""
    began = _cells([run.began for run in runs if run.began is not None], bare)
    return f"| `{name}` | {began} | {_cells([run.ended for run in runs], bare)} |"


def _cells(times: Sequence[float], bare: Sequence[Run]) -> str:
    if not times:
        return "|"
    ratio = statistics.median(a / b.ended for a, b in zip(times, bare, strict=True))
    return f"{statistics.median(times):.1f} ms | {ratio:.2f}"
