"""An instance that accepts connections and answers nothing is started again, by a real supervisor."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from abreast.platforms.local.supervisor.client import Instance, InstanceSpec, Liveness, SupervisorClient
from sample_project import eventually

PATIENCE = 1.2
SERVER = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while os.path.exists("hang") or self.path == "/hang":
            time.sleep(1000)
        self.send_response(int(open("status").read()) if os.path.exists("status") else 200)
        self.end_headers()
        print(os.environ["NAME"], "answered", flush=True)
    def log_message(self, *_): pass
print(os.environ["NAME"], "started", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
"""Answers one request after the other. One that it does not answer is the last."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def supervisor(home: Path) -> Iterator[SupervisorClient]:
    made = SupervisorClient(home)
    made.start()
    yield made
    made.stop([instance.id for instance in made.instances()], grace=0)
    eventually(lambda: not made.instances())
    made.shutdown()


def start(supervisor: SupervisorClient, home: Path, name: str = "web-0", until: str = "answered") -> Instance:
    """Start an instance and wait until it has said this much."""
    supervisor.ensure(
        InstanceSpec(
            id=name,
            command=(sys.executable, "-S", "-c", SERVER),
            cwd=home,
            log=home / "web.log",
            wants_port=True,
            env={"PATH": os.environ["PATH"], "NAME": name},
            liveness=Liveness("/health", PATIENCE, start=1.0),
        )
    )
    eventually(lambda: f"{name} {until}" in lines(home))
    return instances(supervisor)[name]


def lines(home: Path) -> list[str]:
    """Return what the instances, and abreast about them, have written so far."""
    return home.joinpath("web.log").read_text().splitlines()


def instances(supervisor: SupervisorClient) -> Mapping[str, Instance]:
    return {instance.id: instance for instance in supervisor.instances()}


def manager(home: Path) -> int:
    found = subprocess.run(["pgrep", "-f", f"supervisor.process_manager {home}"], capture_output=True, check=True)
    return int(found.stdout)


def hang(instance: Instance) -> None:
    """Have its only thread wait for ever, as a deadlock does."""
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"http://127.0.0.1:{instance.port}/hang", timeout=0.2)


def test_an_instance_that_hangs_is_started_again(supervisor: SupervisorClient, home: Path) -> None:
    before = start(supervisor, home)
    hang(before)
    eventually(lambda: instances(supervisor)["web-0"].restarts)
    after = instances(supervisor)["web-0"]
    assert (after.restarts, after.last_exit) == (1, "answered nothing for 1.2 s")
    told = lines(home).index("[abreast: web-0 answered nothing for 1.2 s; it is started again]")
    eventually(lambda: "web-0 answered" in lines(home)[told:])


@pytest.mark.exhaustive
def test_one_that_never_answered_is_too_and_sigterm_need_not_end_it(supervisor: SupervisorClient, home: Path) -> None:
    home.joinpath("hang").touch()
    before = start(supervisor, home, until="started")
    os.kill(before.pid, signal.SIGSTOP)
    eventually(lambda: instances(supervisor)["web-0"].restarts)


def test_instances_of_a_version_are_not_ended_at_the_same_time(supervisor: SupervisorClient, home: Path) -> None:
    for instance in [start(supervisor, home, f"web-{number}") for number in range(2)]:
        hang(instance)
    eventually(lambda: all(instance.restarts for instance in supervisor.instances()))
    ends = [number for number, line in enumerate(lines(home)) if "answered nothing" in line]
    first = lines(home)[ends[0]].split()[1]
    assert f"{first} answered" in lines(home)[ends[0] : ends[1]], "the second was ended before the first was back"


def test_an_error_is_an_answer(supervisor: SupervisorClient, home: Path) -> None:
    """Started again, it would have the same database that does not answer."""
    before = start(supervisor, home)
    home.joinpath("status").write_text("503")
    count = len(lines(home))
    eventually(lambda: len(lines(home)) >= count + 8)
    assert instances(supervisor)["web-0"] == before


@pytest.mark.exhaustive
def test_a_machine_that_was_suspended_ends_nothing(supervisor: SupervisorClient, home: Path) -> None:
    before = start(supervisor, home)
    keeper = manager(home)
    os.kill(before.pid, signal.SIGSTOP)
    time.sleep(PATIENCE / 5)  # a probe is sent, and waits for its answer
    os.kill(keeper, signal.SIGSTOP)
    time.sleep(2 * PATIENCE)
    count = len(lines(home))
    os.kill(keeper, signal.SIGCONT)
    time.sleep(PATIENCE / 5)
    os.kill(before.pid, signal.SIGCONT)
    eventually(lambda: len(lines(home)) >= count + 8)
    assert instances(supervisor)["web-0"] == before
