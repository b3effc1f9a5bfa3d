"""Outages of a provider, in each chapter of a deployment to three clouds: what came of it."""

import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from abreast.testing.platforms.fault_injection import FaultInjector, FaultKind, InjectedFault
from benchmarks.tests_helpers import tests_module

if TYPE_CHECKING:
    from multi_cloud import MultiCloudProject

DURATIONS = (1.0, 30.0, 120.0)
BUILD_TIMEOUT = "5m"

FIRST_REQUESTS = {
    "netlify": {"plan": ("GET", "."), "stage": ("POST", "/deploys$"), "turn": ("POST", "/restore$")},
    "render": {"plan": ("GET", "."), "turn": ("POST", "/deploys$"), "poll": ("GET", "/deploys/[^/]+$")},
    "huggingface": {"plan": ("GET", "."), "stage": ("POST", "/preupload/"), "turn": ("POST", "/commit/main")},
}
"""The request with which an outage begins, by provider and chapter. In the watch it begins with the chapter."""

USERS = re.compile(r"^/[srhd]/")
"""Paths of the deployed services themselves, which stay up."""


@dataclass
class Outage(InjectedFault):
    """Every request to the API fails from the first on that matches ``method`` and ``path``, for ``duration`` seconds."""

    def try_match(self, method: str, path: str) -> bool:
        """Return whether this request fails."""
        begins = re.fullmatch(self.method, method) and re.search(self.path, path)
        if USERS.search(path) or (self.began_at is None and not begins):
            return False
        self.began_at = self.began_at or time.monotonic()
        return time.monotonic() - self.began_at < self.duration


def run() -> str:
    """Return a table of all providers, chapters and durations."""
    with ProcessPoolExecutor(len(FIRST_REQUESTS)) as pool:
        rows = [row for part in pool.map(_measure, FIRST_REQUESTS) for row in part]
    return "\n".join([
        "## Outages", "",
        "A site on Netlify, an API on Render and a Space are deployed as one release. One provider's API answers every request",
        "with 503, from the first request of a chapter on. Goal: all services are new, or all are as they were.", "",
        "| provider | chapter | outage | what came of it | all alike |", "|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _measure(provider: str) -> list[str]:
    with tests_module("multi_cloud") as helpers:
        return list(_outcomes(provider, helpers))


def _outcomes(provider: str, helpers: ModuleType) -> Iterator[str]:
    folder, running = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    project = helpers.SampleProject(folder / "project")
    for service in project.config["services"].values():
        build = service.get("build")
        run_command = build if isinstance(build, dict) else {"run": build}
        service |= {
            "health": {"path": "/", "hold": "0s", "start": "60s"},
            "build": {**run_command, "timeout": BUILD_TIMEOUT},
        }
    project.config["environments"]["local"]["settle"] = "5s"
    with helpers.multi_cloud_project(project, running) as world:
        project.config["services"]["worker"]["build"]["timeout"] = BUILD_TIMEOUT
        project.commit()
        world.deploy()
        for chapter in (*FIRST_REQUESTS[provider], "watch"):
            for duration in DURATIONS:
                yield _outcome(world, provider, chapter, duration)


def _outcome(world: "MultiCloudProject", provider: str, chapter: str, duration: float) -> str:
    before, new = world.served_commits, world.project.commit(f"{chapter} {duration}")
    faults = getattr(world, provider).faults
    method, path = FIRST_REQUESTS[provider].get(chapter, (".*", "."))
    outage = Outage(method, path, FaultKind.STATUS, status=503, duration=duration)
    if chapter == "watch":
        threading.Thread(target=_begin_with_watch, args=(world, faults, outage), daemon=True).start()
    else:
        faults.planned = [outage]
    began = time.monotonic()
    code, _ = world.deploy(code=None)
    took = time.monotonic() - began
    world.clear_faults()
    served = world.served_commits
    end = {0: "deployed", 1: "turned back"}.get(code, "a person is needed")
    if chapter == "plan" and code == 1:
        end = "nothing was touched"
    alike = served == world.all_at_commit(new) if code == 0 else served == before
    if outage.began_at is None:
        end = f"{end}; the outage never began"
    return f"| {provider} | {chapter} | {duration:g} s | {end} after {took:.0f} s | {'yes' if alike else 'NO'} |"


def _begin_with_watch(world: "MultiCloudProject", faults: FaultInjector, outage: Outage) -> None:
    with closing(sqlite3.connect(world.project.folder / ".abreast" / "ledger.db")) as ledger:
        while ledger.execute("SELECT chapter FROM deployments ORDER BY rowid DESC LIMIT 1").fetchone() != ("watch",):
            time.sleep(0.05)
    faults.planned = [outage]
