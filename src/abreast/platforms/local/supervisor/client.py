"""The client of one environment's supervisor: start, stop and list instances."""

import fcntl
import json
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from abreast.core.errors import PlatformError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Resources
from abreast.machine.process import start_detached
from abreast.machine.unix_sockets import short_path

PROTOCOL = 8
"""Bumped when requests, module names or records change: a supervisor of another protocol is replaced."""

SOCKET_FILE = "supervisor.sock"
LOCK_FILE = "supervisor.lock"
LOG_FILE = "supervisor.log"
RECORDS_FOLDER = "instances"
SCHEDULES_FOLDER = "schedules"
"""Records of scheduled commands: when each ran last, and how it ended."""

INSTANCE_MARK, HOME_MARK = "ABREAST_INSTANCE", "ABREAST_SUPERVISOR"
"""Variables in all processes of an instance: its id, and the folder of the supervisor that started it."""

ROUTER = "router"
"""The instance that routes users, and its folder."""

POSTGRES = "postgres"
"""The instance that serves the environment's databases, and its folder."""

REPLY_TIMEOUT = 20.0
"""Seconds to wait for an answer."""

HANDOVER_TIMEOUT = 2.0
"""Maximum seconds without a supervisor while a killed watchdog is replaced."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """An instance that answers no request for ``path`` in ``patience`` seconds hangs, and is started again.

    Until its first answer, it has ``start`` seconds more.
    """

    path: str
    patience: float
    start: float


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """A process to keep running. ``command`` is a shell command or an argv, ``env`` its whole environment.

    ``secrets`` names variables whose values are never written to disk. Output is appended to ``log``, redacted.
    With ``wants_port`` a port is reserved and passed as ``$PORT``: ``app_port`` if its code listens there whatever
    ``$PORT`` says. Without ``liveness`` it never hangs. The kernel keeps it to ``resources``. ``stop_signal`` asks it
    to end.
    """

    id: str
    command: str | tuple[str, ...]
    cwd: Path
    log: Path
    wants_port: bool
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()
    liveness: Liveness | None = None
    app_port: int | None = None
    resources: Resources = Resources()
    stop_signal: str = "SIGTERM"


class InstanceState(StrEnum):
    """The state of an instance. LOST: it exited while no supervisor ran, and its secrets are gone."""

    RUNNING = "running"
    BACKING_OFF = "backing-off"
    STOPPING = "stopping"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Instance:
    """The current state of a process. ``listening``: the process itself listens on its port."""

    id: str
    state: InstanceState
    pid: int
    port: int | None
    restarts: int
    last_exit: str
    listening: bool


class SupervisorGoneError(PlatformError):
    """No supervisor runs, though one did. What it ran runs on; ``SupervisorClient.start`` adopts it."""


class SupervisorClient:
    """Talks to the supervisor of ``home``. Every call is short and idempotent.

    Raises PlatformError if the supervisor does not answer, SupervisorGoneError if there is none any more.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def start(self) -> None:
        """Start the supervisor unless it runs; replace one of another protocol. Raises PlatformError on timeout."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._protocol_version() == PROTOCOL:
            return
        if self.is_running():
            self.shutdown()
        with (self._home / LOG_FILE).open("ab") as log:
            start_detached([sys.executable, "-m", "abreast.platforms.local.supervisor.watchdog", str(self._home)], log)
        self._wait_until(lambda: self._protocol_version() == PROTOCOL, "did not start")

    def is_running(self) -> bool:
        """Return whether a supervisor runs in ``home`` or is starting."""
        try:
            with (self._home / LOCK_FILE).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return self._protocol_version() is not None

    def recorded_instances(self) -> list[str]:
        """Return the ids of the instances on record, which run or will be started again. Needs no supervisor."""
        return [file.stem for file in (self._home / RECORDS_FOLDER).glob("*.json")]

    def has_instances(self) -> bool:
        """Return whether there are instances, even if no supervisor runs."""
        return self.is_running() or bool(self.recorded_instances())

    def ensure(self, spec: InstanceSpec) -> Instance:
        """Start the instance unless it exists, and return it. Raises PlatformError if it cannot be started."""
        wire = {**asdict(spec), "cwd": str(spec.cwd), "log": str(spec.log), "secrets": sorted(spec.secrets)}
        return _instance(self._request({"verb": "ensure", "spec": wire}))

    def stop(self, ids: Iterable[str], grace: float) -> None:
        """Begin to stop the instances: their signal to each process group, SIGKILL after ``grace`` seconds.

        Returns at once. An instance is gone when ``instances`` no longer lists it. Ignores unknown ids.
        """
        self._request({"verb": "stop", "ids": list(ids), "grace": grace})

    def instances(self) -> tuple[Instance, ...]:
        """Return all instances."""
        return tuple(map(_instance, self._request({"verb": "instances"})))

    def shutdown(self) -> None:
        """Stop the supervisor and wait until it is gone. Instances keep running; the next supervisor adopts them."""
        with suppress(SupervisorGoneError):  # it was killed just now
            self._request({"verb": "shutdown"})
        self._wait_until(lambda: not self.is_running(), "did not stop")

    def _protocol_version(self) -> int | None:
        try:
            answer = self._request_once({"verb": "hello"}, timeout=2.0)
        except (OSError, ValueError):
            return None
        return int(answer["protocol"])

    def _request(self, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 (JSON)
        """Send a request, retrying while a killed supervisor is being replaced."""
        began = time.monotonic()
        answer: dict[str, Any] | None = None
        while answer is None:
            try:
                answer = self._request_once(request, timeout=REPLY_TIMEOUT)
            except (OSError, ValueError) as error:
                is_running = self.is_running()
                if time.monotonic() - began > (REPLY_TIMEOUT if is_running else HANDOVER_TIMEOUT):
                    raise (PlatformError if is_running else SupervisorGoneError)(
                        f"the supervisor of {self._home} does not answer: {error}",
                        need="a running supervisor, which keeps the local services up",
                        next="abreast deploy, which restarts it and adopts running services",
                    ) from error
                time.sleep(0.05)
        if "error" in answer:
            raise PlatformError(answer["error"])
        return answer["ok"]

    def _request_once(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        with short_path(self._home / SOCKET_FILE) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answer:
                return dict(json.loads(answer.readline()))

    def _wait_until(self, condition: Any, complaint: str) -> None:  # noqa: ANN401 (a plain callable)
        deadline = time.monotonic() + REPLY_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise PlatformError(f"the supervisor of {self._home} {complaint}", next=f"cat {self._home / LOG_FILE}")
            time.sleep(0.02)


def _instance(wire: Mapping[str, Any]) -> Instance:
    return Instance(**{**wire, "state": InstanceState(wire["state"])})
