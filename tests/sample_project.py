"""A small project for tests: real processes, a real repository, driven by the real command line."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

import fork_server
import leftovers
from fork_server import StartedCommand
from limits import scaled

APP_SOURCE = """
import os, sys, time, _socket, _thread
from _json import encode_basestring_ascii as quoted
STARTED = time.monotonic()
ANSWERED = 0
class Handler:
    def __init__(self, connection):
        self.connection, self.received = connection, b""
    def serve(self):
        try:
            while self.read_request():
                self.do_GET()
        except Exception:
            pass  # a client that went is not for the log
        self.connection.close()
    def read_request(self):
        while b"\\r\\n\\r\\n" not in self.received:
            if not self.receive():
                return False
        head, self.received = self.received.split(b"\\r\\n\\r\\n", 1)
        self.path = head.split()[1].decode()
        for name, value in (line.lower().split(b":", 1) for line in head.splitlines()[1:]):
            while name == b"content-length" and len(self.received) < int(value):
                if not self.receive():
                    return False
            self.received = self.received[int(value):] if name == b"content-length" else self.received
        return True
    def receive(self):
        part = self.connection.recv(65536)
        self.received += part
        return part
    def do_GET(self):
        global ANSWERED
        if not self.path.startswith("/health"):
            ANSWERED += 1
        status, more = health() if self.path.startswith("/health") else (200, {})
        body = as_json({"release": os.environ["ABREAST_RELEASE"], "commit": os.environ["ABREAST_COMMIT"], **more}).encode()
        self.connection.sendall(b"HTTP/1.1 %d x\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (status, len(body), body))
def as_json(values):
    return "{" + ", ".join(f'"{name}": {encode(value)}' for name, value in values.items()) + "}"
def encode(value):
    return quoted(value) if isinstance(value, str) else {"None": "null"}.get(str(value), str(value).lower())
def health():
    return 200, {}
if __name__ == "__main__":
    server = _socket.socket()
    server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    server.bind((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])))
    server.listen(256)
    while True:
        connection = _socket.socket(fileno=server._accept()[0])
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        _thread.start_new_thread(Handler(connection).serve, ())
"""
"""A server of HTTP/1.1 that starts in a fifth of the time that ``http.server`` takes: tests start thousands."""

HEALTHY = "    return 200, {}\n"
NEVER_HEALTHY = "    return 503, {}\n"
UNHEALTHY_AFTER_REQUESTS = "    return (503 if ANSWERED > 5 else 200), {}\n"


def _claim_port_range() -> Iterator[int]:
    """Return ports of a range that this process has to itself for as long as it lives, again and again.

    Whoever holds the first port of a range has the range.
    """
    for first in (*range(10_000, 20_000, 500), *range(30_000, 32_000, 500)):  # neither the kernel's nor instances'
        with suppress(OSError):
            leftovers.AT_END.enter_context(socket.create_server(("127.0.0.1", first), backlog=0))
            return itertools.cycle(range(first + 1, first + 500))
    raise AssertionError("tests run in too many processes at once")


_PORTS = _claim_port_range()


def free_ports(count: int) -> list[int]:
    """Return ports that are free and stay so: neither another worker nor the kernel gives them to anybody."""
    return list(itertools.islice(filter(_is_free, _PORTS), count))


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def require_programs(*programs: str) -> None:
    """Skip a test where a program is not on this machine; in CI, where it is to be installed, fail."""
    if missing := [program for program in programs if not shutil.which(program)]:
        message = f"not on this machine: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


class SampleProject:
    """A frontend (a built folder) and a backend (``app.py``), in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.build_log = folder.parent / "builds"
        self.frontend_port, self.backend_port = free_ports(2)
        self._started_commands: list[StartedCommand] = []
        self.config: dict[str, Any] = {
            "project": "shop",
            "services": {
                "frontend": {
                    "build": {
                        "run": f"echo frontend $ABREAST_COMMIT >> {self.build_log}; mkdir dist; "
                        'echo "{\\"commit\\": \\"$ABREAST_COMMIT\\", \\"release\\": \\"$ABREAST_RELEASE\\"}" > dist/index.html',
                        "output": "dist",
                    },
                    "health": {"hold": "0s"},
                },
                "backend": {
                    "build": f"echo backend $ABREAST_COMMIT >> {self.build_log}",
                    "run": f"exec {sys.executable} -S app.py",
                    "instances": 1,
                    "health": {"path": "/health", "hold": "0s", "start": "20s"},
                },
            },
            "environments": {
                "local": {
                    "settle": "300ms",
                    "frontend": {"local": {"port": self.frontend_port}},
                    "backend": {"local": {"port": self.backend_port}},
                }
            },
        }
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(APP_SOURCE)
        self.git("init", "-q", "-b", "main")
        self.commit("Start")

    # ── changing it ────────────────────────────────────────────────────────────────────────────

    def commit(self, subject: str = "Change", **files: str) -> str:
        """Write the configuration and files (``app_py="…"``), commit all, and return the commit."""
        (self.folder / "abreast.yml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        for name, text in files.items():
            (self.folder / name.replace("_", ".")).write_text(text)
        (self.folder / "change.txt").write_text(f"{subject} {time.time_ns()}")
        self.git("add", "-A")
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        self.git(*identity, "-c", "maintenance.auto=false", "commit", "-qm", subject)
        return (self.folder / ".git" / "refs" / "heads" / "main").read_text().strip()

    def app_source(self, health_body: str) -> str:
        """Return the backend's program with this body of ``health()``."""
        return APP_SOURCE.replace(HEALTHY, health_body)

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    # ── the command ────────────────────────────────────────────────────────────────────────────

    def command_line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "abreast", *arguments]

    def run(
        self, *arguments: str, code: int | None = 0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of abreast to its end; ``code`` is the exit code it must have."""
        done = fork_server.run_command(self.folder, *arguments, variables=variables)
        if code is not None:
            assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> StartedCommand:
        """Begin a command of abreast."""
        output = str(self.folder.parent / f"output-{len(self._started_commands)}")
        begun = StartedCommand(self.folder, *arguments, variables=variables, stdout=output, stderr=output)
        self._started_commands.append(begun)
        return begun

    def deploy(
        self, *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.run("deploy", "--yes", *arguments, code=code, variables=variables)

    def status(self, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        told = self.run("status", "--env", "local", "--json", variables=variables).stdout
        document: dict[str, Any] = json.loads(told)
        return dict(document["environments"]["local"])

    def latest_deployment(self) -> dict[str, Any]:
        """Return the latest deployment, with its events."""
        return dict(json.loads(self.run("show", "--json").stdout))

    def down(self) -> None:
        """Stop all that runs, and show what the commands said that a test did not wait for."""
        for begun in self._started_commands:
            if begun.returncode is None:
                begun.kill()
                sys.stdout.write(f"{begun.args!r}\n{begun.output}\n")
        if (self.folder / ".abreast").exists():
            self.run("down", "--yes", code=None)
        for preview in (self.folder / ".abreast" / "local").glob("*-pr-*"):
            self.run("down", "--env", preview.name, "--yes", code=None)

    # ── what users see ─────────────────────────────────────────────────────────────────────────

    def served_commits(self) -> dict[str, str]:
        """Return the commit that users of each service reach."""
        return {
            name: str(get_json(port)["commit"])
            for name, port in (("frontend", self.frontend_port), ("backend", self.backend_port))
        }

    def built_services(self, commit: str) -> list[str]:
        """Return the services that were built of a commit, once for each time."""
        lines = self.build_log.read_text().splitlines() if self.build_log.exists() else []
        return [line.split()[0] for line in lines if line.endswith(commit)]


def get_json(port: int, path: str = "/") -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=scaled(5)) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        error.close()
        raise


def eventually(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait until the condition holds; an assertion that fails meanwhile counts as not yet.

    To look takes no more than a quarter of the time, so that what is waited for gets on.
    """
    began = time.monotonic()
    while True:
        looked = time.monotonic()
        late = looked - began > scaled(timeout)
        try:
            if condition():
                return
        except (AssertionError, OSError, LookupError, TypeError):  # TypeError: a value that is still None
            if late:
                raise
        assert not late, "it did not come to hold"
        time.sleep(max(0.02, 3 * (time.monotonic() - looked)))


def wait_for_exit(command: StartedCommand) -> int:
    """Wait for a command's end and return its exit code; what it said is shown if the test fails."""
    try:
        return command.wait(scaled(90))
    finally:
        sys.stdout.write(f"{command.args!r}\n{command.output}\n")


def get_text(url: str) -> str:
    """Return what a URL answers with, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=scaled(5)) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
