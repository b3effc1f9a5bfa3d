"""A push that changes documentation only: how long until a runner knows that there is nothing to deploy."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tests_helpers import tests_module

RUNS = 5
GOAL = 2.0
"""Seconds within which abreast says that there is nothing to do."""
ACTIONS_VARIABLE = "ABREAST_BENCH_ACTIONS"
"""A folder with the sources of actions, each in ``OWNER+NAME@COMMIT``."""
PATHS_FILTER = "dorny/paths-filter@7b450fff21473bca461d4b92ce414b9d0420d706"
PATHS_FILTER_WORKFLOW = """on: push
jobs:
  changes:
    runs-on: self-hosted
    outputs: {frontend: "${{ steps.filter.outputs.frontend }}", backend: "${{ steps.filter.outputs.backend }}"}
    steps:
      - uses: CHECKOUT
        with: {fetch-depth: 0}
      - uses: FILTER
        id: filter
        with:
          working-directory: FOLDER
          predicate-quantifier: every
          filters: |
            frontend: ["**", "!**/*.md"]
            backend: ["**", "!**/*.md"]
  frontend:
    needs: changes
    if: needs.changes.outputs.frontend == 'true'
    runs-on: self-hosted
    steps: [{run: exit 1}]
  backend:
    needs: changes
    if: needs.changes.outputs.backend == 'true'
    runs-on: self-hosted
    steps: [{run: exit 1}]
"""


def run() -> str:
    """Return a table of medians: the command alone, and whole workflows by the same runner."""
    with (
        tests_module("act_runner") as runner,
        tempfile.TemporaryDirectory() as folder,
        runner.ActionsWorld(Path(folder) / "w") as world,
    ):
        world.push("First")
        world.run("deploy", "push")
        measurements = _measurements(world)
        taken = [
            {name: _measure(world, measured, number) for name, measured in measurements.items()}
            for number in range(RUNS)
        ]
    rows = [_row(name, [each[name] for each in taken]) for name in measurements]
    return f"""## Docs-only push

A deployed project of two services, whose record is a git ref, gets a push that changes `README.md` only. Medians of {RUNS}
alternating runs: the command alone, with a warm installation, and the whole workflow of `abreast init --github` in `act`, beside a
workflow that was written by hand: a checkout, `dorny/paths-filter` and two skipped jobs. The checkout is the same in both. Goal for
the command: < {GOAL:.0f} s. Where other programs run too, compare processor seconds: seconds are mostly spent waiting for a turn.

| | seconds | processor seconds |
|---|---|---|
{chr(10).join(rows)}"""


def _measurements(world: Any) -> dict[str, Callable[[], None]]:  # noqa: ANN401 (of a module that is found at run time)
    filter_workflow = _write_filter_workflow(world)
    return {
        "`abreast deploy`": lambda: _deploy(world.runner),
        "workflow with abreast": lambda: _check("nothing to do", world.run("deploy", "push")),
        "workflow with paths-filter": lambda: _check("Job succeeded", world.run(filter_workflow, "push")),
    }


def _write_filter_workflow(world: Any) -> str:  # noqa: ANN401 (as above)
    """Push the other workflow, and give the runner the source of its action."""
    place = PATHS_FILTER.replace("/", "+")
    shutil.copytree(Path(os.environ[ACTIONS_VARIABLE]) / place, world.folder / "actions" / place)
    checkout = next(path.name for path in (world.folder / "actions").iterdir() if "checkout" in path.name)
    text = PATHS_FILTER_WORKFLOW.replace("CHECKOUT", checkout.replace("+", "/")).replace("FILTER", PATHS_FILTER)
    text = text.replace("FOLDER", str(world.runner))
    world.push_only(".github/workflows/filter.yml", text)
    world.run("deploy", "push")
    return "filter"


def _measure(world: Any, measured: Callable[[], None], number: int) -> tuple[float, float]:  # noqa: ANN401 (as above)
    """Push, and return the seconds and the processor seconds that it takes to find that nothing is to be deployed."""
    world.push_only("README.md", f"# {measured} {number}\n")
    subprocess.run(["git", "pull", "-q", "origin", "main"], cwd=world.runner, check=False, capture_output=True)
    began, before = time.monotonic(), _processor_seconds()
    measured()
    return time.monotonic() - began, _processor_seconds() - before


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _deploy(folder: Path) -> None:
    command = [sys.executable, "-m", "abreast", "deploy", "--env", "staging", "--yes"]
    variables = {**os.environ, "GITHUB_ACTIONS": "true"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=variables)
    _check("nothing to do", done.stdout + done.stderr)


def _check(expected: str, said: str) -> None:
    if expected not in said:
        raise RuntimeError(said[-2000:])


def _row(name: str, taken: Sequence[tuple[float, float]]) -> str:
    wall, processor = (statistics.median(each) for each in zip(*taken, strict=True))
    return f"| {name} | {wall:.2f} | {processor:.2f} |"
