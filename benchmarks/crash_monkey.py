"""A crash monkey: kills parts of a deployment at random moments under load, and looks at what is left.

``ABREAST_MONKEY_KILLS`` sets the number of kills, ``ABREAST_MONKEY_SEED`` repeats the choices of a run.
"""

import http.client
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from abreast.testing.process_tree import kill_at_once, processes_of
from benchmarks.bench_project import BenchProject

KILLS = int(os.environ.get("ABREAST_MONKEY_KILLS", "500"))
FIRST_PORT = 12700
PORTS = (FIRST_PORT, FIRST_PORT + 1)
MAX_COMMANDS = 6
"""Commands that are tried until a deployment has ended. A state that needs more has no way out."""

APP_SOURCE = """
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
STARTED = time.monotonic()
class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # one send: nobody can repeat an answer of which a part has reached the user
    def do_GET(self):
        body = os.environ["ABREAST_COMMIT"].encode()
        self.send_response(503 if BAD and time.monotonic() - STARTED > 0.8 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
class Server(ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
COMMAND, MANAGER, WATCHDOG, ENVOY = (
    "abreast deploy",
    "supervisor.process_manager",
    "supervisor.watchdog",
    "bootstrap.json",
)
INSTANCE = "app.py"


@dataclass(frozen=True)
class Target:
    """What to kill: all processes with one of the words in their command lines. ``serves``: users need one of them."""

    words: tuple[str, ...]
    serves: bool = False
    only_one: bool = False


TARGETS = {
    "the command": Target((COMMAND,)),
    "the process manager": Target((MANAGER,)),
    "the watchdog": Target((WATCHDOG,)),
    "both halves of the supervisor": Target((MANAGER, WATCHDOG)),
    "the command and the supervisor": Target((COMMAND, MANAGER, WATCHDOG)),
    "one instance of two": Target((INSTANCE,), only_one=True),
    "Envoy": Target((ENVOY,), serves=True),
    "the command and Envoy": Target((COMMAND, ENVOY), serves=True),
    "all instances": Target((INSTANCE,), serves=True),
    "everything": Target((COMMAND, MANAGER, WATCHDOG, ENVOY, INSTANCE), serves=True),
}
MOMENTS = ("build", "stage", "check", "turn", "watch", "settle", "turn-back", "any")
"""Chapters in which to kill; the old version drains in ``settle``. ``any`` is a moment in the first five seconds."""

CLOCKS = ("", "", "", "", "-40d", "+40d")
"""How the clock of the deploying command differs from that of others."""


def run() -> str:
    """Return a table of what was killed and what came of it."""
    seed = int(os.environ.get("ABREAST_MONKEY_SEED", str(time.time_ns() % 1_000_000)))
    choose = random.Random(seed)
    kills, moments, ended, faults = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    with (
        tempfile.TemporaryDirectory() as folder,
        two_instances_each(BenchProject(Path(folder) / "shop", 2, FIRST_PORT, build=0.1, hold=0, settle=1)) as shop,
    ):
        write_app(shop, bad=False)
        shop.timed_abreast("deploy", "--yes")
        for _ in range(KILLS):
            name, moment, clock = choose.choice(list(TARGETS)), choose.choice(MOMENTS), choose.choice(CLOCKS)
            write_app(shop, bad=choose.random() < (1 if moment == "turn-back" else 0.3))
            with Users() as users:
                kill_during_deployment(shop, TARGETS[name], moment, clock, choose)
                ended[bring_to_an_end(shop)] += 1
                start_what_was_live(shop)
                found = list(faults_of(shop))
            if users.lost and not TARGETS[name].serves:
                found.append("requests lost though nothing that serves was dead")
            kills[name] += 1
            moments[moment] += 1
            faults.update(found)
            if found:
                print(
                    f"{name}, {moment}, clock {clock or 'right'}: {found} {users.lost[:3]}", file=sys.stderr, flush=True
                )
    results = ", ".join(f"{count} {state}" for state, count in ended.most_common())
    told = ", ".join(f"{count} times {fault}" for fault, count in faults.most_common()) or "none"
    return "\n".join([
        "## Crash monkey", "",
        f"{kills.total()} kills in deployments of two services with two instances each, under requests (seed {seed}). Three in",
        "ten releases were bad, and all whose turn-back was to be hit; a third of the commands had a clock that was 40 days wrong.",
        "Then the commands that abreast printed,",
        f"until the deployment had ended: {results}. Mixed releases, things left behind, states without a way out, services",
        f"that were not served, requests lost though nothing that serves was dead: {told}.", "",
        "| killed | times |", "|---|---|", *(f"| {name} | {kills[name]} |" for name in TARGETS), "",
        "| in the chapter | times |", "|---|---|", *(f"| {moment} | {moments[moment]} |" for moment in MOMENTS),
    ])  # fmt: skip


def two_instances_each(shop: BenchProject) -> BenchProject:
    config = yaml.safe_load((shop.folder / "abreast.yml").read_text())
    for service in config["services"].values():
        service["instances"] = 2
    (shop.folder / "abreast.yml").write_text(yaml.safe_dump(config))
    return shop


class Users:
    """Send GET requests to both services until the block ends. ``lost`` are the answers that no version gave."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(port,)) for port in PORTS]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self, port: int) -> None:
        while not self._ended.wait(0.005):
            answer = get(port)
            if not re.fullmatch("[0-9a-f]{40}", answer):
                self.lost.append(answer)


def write_app(shop: BenchProject, *, bad: bool) -> None:
    (shop.folder / "app.py").write_text(APP_SOURCE.replace("BAD", str(bad)))
    shop.commit()


def kill_during_deployment(shop: BenchProject, target: Target, moment: str, clock: str, choose: random.Random) -> None:
    """Deploy, and kill the target some time into a chapter. If the deployment ends before that, kill it then."""
    faked = ["faketime", "-f", clock] if clock and shutil.which("faketime") else []
    command = [*faked, sys.executable, "-m", "abreast", "deploy", "--yes"]
    before = latest_deployment(shop)
    with subprocess.Popen(command, cwd=shop.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as deploying:
        while moment != "any" and deploying.poll() is None and not is_in_chapter(shop, before, moment):
            time.sleep(0.005)
        time.sleep(choose.uniform(0.2, 5) if moment == "any" else choose.uniform(0, 0.4))
        pids = [pid for pid, line in processes_of(shop.folder) if any(word in line for word in target.words)]
        kill_at_once([choose.choice(pids)] if target.only_one and pids else pids)
        deploying.wait(120)


def latest_deployment(shop: BenchProject) -> tuple[str, str]:
    """Return the id and the chapter of the latest deployment."""
    with closing(sqlite3.connect(f"file:{shop.folder}/.abreast/ledger.db?mode=ro", uri=True)) as ledger:
        return tuple(ledger.execute("SELECT id, chapter FROM deployments ORDER BY rowid DESC LIMIT 1").fetchone())


def is_in_chapter(shop: BenchProject, before: tuple[str, str], chapter: str) -> bool:
    id_, current = latest_deployment(shop)
    return id_ != before[0] and current == chapter


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
    served = {get(port) for port in PORTS}
    if len(recorded) != 1 or served != recorded:
        yield "mixed" if len({answer for answer in served if len(answer) == 40}) > 1 else "not served"
    versions = list((shop.folder / ".abreast" / "local" / "local" / "versions").iterdir())
    apps = [pid for pid, line in processes_of(shop.folder) if INSTANCE in line]
    if len(versions) != 2:
        yield f"{len(versions)} versions: {sorted(version.name for version in versions)}"
    if len(apps) != 4:
        yield f"{len(apps)} instances"


def get(port: int) -> str:
    """Return what users get: the commit of a version, or an error."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return str(error)


def abreast(shop: BenchProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "abreast", *arguments]
    return subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, check=False, timeout=300)
