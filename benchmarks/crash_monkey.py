"""A crash monkey: kills parts of a deployment at random moments, and looks at what is left when all has ended.

``ABREAST_MONKEY_KILLS`` sets the number of kills, ``ABREAST_MONKEY_SEED`` repeats a run.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from abreast.testing.process_tree import kill_at_once, processes_of
from benchmarks.bench_project import BenchProject

KILLS = int(os.environ.get("ABREAST_MONKEY_KILLS", "500"))
FIRST_PORT = 12700
MAX_COMMANDS = 6
"""Commands that are tried until a deployment has ended. A state that needs more has no way out."""

APP_SOURCE = """
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
STARTED = time.monotonic()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if BAD and time.monotonic() - STARTED > 0.8 else 200)
        self.end_headers()
        self.wfile.write(os.environ["ABREAST_COMMIT"].encode())
    def log_message(self, *arguments): pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
TARGETS = {
    "the command": ("abreast deploy",),
    "the process manager": ("supervisor.process_manager",),
    "the watchdog": ("supervisor.watchdog",),
    "Envoy": ("bootstrap.json",),
    "an instance": ("app.py",),
    "both halves of the supervisor": ("supervisor.process_manager", "supervisor.watchdog"),
    "the command and Envoy": ("abreast deploy", "bootstrap.json"),
    "everything": ("abreast deploy", "supervisor.process_manager", "supervisor.watchdog", "bootstrap.json", "app.py"),
}


def run() -> str:
    """Return a table of what was killed and what came of it."""
    seed = int(os.environ.get("ABREAST_MONKEY_SEED", str(time.time_ns() % 1_000_000)))
    choose = random.Random(seed)
    kills, ended, faults = Counter[str](), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        shop = BenchProject(Path(folder) / "shop", 2, FIRST_PORT, build=0.1, hold=0, settle=1)
        write_app(shop, bad=False)
        shop.timed_abreast("deploy", "--yes")
        for _ in range(KILLS):
            name = choose.choice(list(TARGETS))
            write_app(shop, bad=choose.random() < 0.3)
            kill_during_deployment(shop, TARGETS[name], choose.uniform(0.2, 5))
            kills[name] += 1
            ended[bring_to_an_end(shop)] += 1
            start_what_was_live(shop)
            faults.update(faults_of(shop))
        shop.timed_abreast("down", "--yes")
    rows = [f"| {name} | {kills[name]} |" for name in TARGETS]
    results = ", ".join(f"{count} {state}" for state, count in ended.most_common())
    found = ", ".join(f"{count} {fault}" for fault, count in faults.most_common()) or "none"
    return "\n".join([
        "## Crash monkey", "",
        f"{sum(kills.values())} kills at random moments of deployments, of which three in ten were bad (seed {seed}). Then the commands that",
        f"abreast printed, until the deployment had ended: {results}. Mixed releases, things left behind, states without a way out: {found}.", "",
        "| killed | times |", "|---|---|", *rows,
    ])  # fmt: skip


def write_app(shop: BenchProject, *, bad: bool) -> None:
    (shop.folder / "app.py").write_text(APP_SOURCE.replace("BAD", str(bad)))
    shop.commit()


def kill_during_deployment(shop: BenchProject, words: tuple[str, ...], delay: float) -> None:
    """Deploy under requests; kill what has one of the words in its command line after a delay."""
    command = [sys.executable, "-m", "abreast", "deploy", "--yes"]
    with subprocess.Popen(command, cwd=shop.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as deploying:
        until = time.monotonic() + delay
        while time.monotonic() < until:
            for port in (FIRST_PORT, FIRST_PORT + 1):
                served_commit(port)
            time.sleep(0.02)
        kill_at_once(pid for pid, line in processes_of(shop.folder) if any(word in line for word in words))
        deploying.wait(120)


def bring_to_an_end(shop: BenchProject) -> str:
    """Type the commands that abreast prints until the deployment has ended. Return its state."""
    for attempt in range(MAX_COMMANDS):
        latest = json.loads(abreast(shop, "history", "--limit", "1", "--json").stdout)[0]
        if latest["finished"] and latest["state"] != "stuck":
            return str(latest["state"])
        printed = re.findall(r"^(?:next: |or:   )abreast (.*)$", abreast(shop, "show").stdout, re.MULTILINE)
        abreast(shop, *printed[min(attempt // 2, len(printed) - 1)].split())  # the usual one twice, then the other
    return "without a way out"


def start_what_was_live(shop: BenchProject) -> None:
    """Type what status prints, if everything was killed after the deployment had ended."""
    for command in re.findall(r"not running: .* next: abreast (.*)", abreast(shop, "status").stdout):
        abreast(shop, *command.split(), "--yes")


def faults_of(shop: BenchProject) -> Iterator[str]:
    """Yield what is wrong after a deployment has ended; what dies is started again, so look for a while."""
    until = time.monotonic() + 30
    while True:
        faults = list(look(shop))
        if not faults or time.monotonic() > until:
            yield from faults
            return
        time.sleep(0.5)


def look(shop: BenchProject) -> Iterator[str]:
    status: dict[str, Any] = json.loads(abreast(shop, "status", "--json").stdout)["environments"]["local"]
    recorded = {service["commit"] for service in status["services"].values()}
    served = {served_commit(port) for port in (FIRST_PORT, FIRST_PORT + 1)}
    if len(recorded) != 1 or served != recorded:
        yield "mixed" if len(served - {""}) > 1 else "not served"
    versions = list((shop.folder / ".abreast" / "local" / "local" / "versions").iterdir())
    apps = [pid for pid, line in processes_of(shop.folder) if "app.py" in line]
    if len(versions) != 2 or len(apps) != 2:
        yield "left behind"


def served_commit(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def abreast(shop: BenchProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "abreast", *arguments]
    return subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, check=False, timeout=300)
