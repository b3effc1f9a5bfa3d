"""Asking the supervisor of one environment: start this, stop that, what is there."""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from abreast.core.errors import PlatformError
from abreast.machine.process import start_detached

PROTOCOL = 1
SOCKET_FILE = "supervisor.sock"
LOCK_FILE = "supervisor.lock"
LOG_FILE = "supervisor.log"
REPLY_TIMEOUT = 20.0
"""Seconds until a supervisor that does not answer is given up."""

HANDOVER_TIMEOUT = 2.0
"""Seconds in which nobody holds the folder while a killed guard is replaced, at most."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """A process to keep: ``command`` is a shell command or an argv, ``env`` its whole environment.

    ``secrets`` names variables whose values are never written anywhere; what it prints is appended to
    ``log`` without them. With ``wants_port`` a port is held for it and given as ``$PORT``.
    """

    id: str
    command: str | tuple[str, ...]
    cwd: Path
    log: Path
    wants_port: bool
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()


class InstanceState(StrEnum):
    """How an instance stands; LOST: it ended while nobody watched, and its secrets are not known here."""

    RUNNING = "running"
    BACKING_OFF = "backing-off"
    STOPPING = "stopping"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Instance:
    """A kept process as it stands; ``listening``: a socket on its port is its own."""

    id: str
    state: InstanceState
    pid: int
    port: int | None
    restarts: int
    last_exit: str
    listening: bool


class SupervisorClient:
    """The supervisor of ``home``; every call is short and safe to repeat."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def start(self) -> None:
        """Start it if it does not run; raises PlatformError if it does not come up."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._protocol_version() == PROTOCOL:
            return
        if self.is_running():
            self.shutdown()
        with (self._home / LOG_FILE).open("ab") as log:
            start_detached([sys.executable, "-m", "abreast.platforms.local.supervisor.watchdog", str(self._home)], log)
        self._wait_until(lambda: self._protocol_version() == PROTOCOL, "did not start")

    def is_running(self) -> bool:
        """Whether a supervisor holds ``home``, or is about to."""
        try:
            with (self._home / LOCK_FILE).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return self._protocol_version() is not None

    def ensure(self, spec: InstanceSpec) -> Instance:
        """Return the instance, started now unless it is there; raises PlatformError if it cannot be."""
        wire = {**asdict(spec), "cwd": str(spec.cwd), "log": str(spec.log), "secrets": sorted(spec.secrets)}
        return _instance(self._request({"verb": "ensure", "spec": wire}))

    def stop(self, ids: Iterable[str], grace: float) -> None:
        """Begin to end the instances: SIGTERM, after ``grace`` seconds SIGKILL, to each whole group.

        Returns at once; an instance is gone when ``instances`` does not list it. Unknown ids are fine.
        """
        self._request({"verb": "stop", "ids": list(ids), "grace": grace})

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance there is."""
        return tuple(map(_instance, self._request({"verb": "instances"})))

    def shutdown(self) -> None:
        """End the supervisor and wait until it is gone; its instances go on and the next one takes them up."""
        self._request({"verb": "shutdown"})
        self._wait_until(lambda: not self.is_running(), "did not end")

    def _protocol_version(self) -> int | None:
        try:
            answer = self._request_once({"verb": "hello"}, timeout=2.0)
        except (OSError, ValueError):
            return None
        return int(answer["protocol"])

    def _request(self, request: Mapping[str, Any]) -> Any:  # noqa: ANN401 (JSON)
        """Ask, also across a moment in which a killed supervisor is being replaced."""
        began = time.monotonic()
        answer: dict[str, Any] | None = None
        while answer is None:
            try:
                answer = self._request_once(request, timeout=REPLY_TIMEOUT)
            except (OSError, ValueError) as error:
                if time.monotonic() - began > (REPLY_TIMEOUT if self.is_running() else HANDOVER_TIMEOUT):
                    raise PlatformError(
                        f"the supervisor of {self._home} does not answer: {error}",
                        need="the process that keeps the local services running",
                        next="abreast deploy, which starts it again and takes up what still runs",
                    ) from error
                time.sleep(0.05)
        if "error" in answer:
            raise PlatformError(answer["error"])
        return answer["ok"]

    def _request_once(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        # The path of a Unix socket is limited to 107 bytes; through the folder's descriptor it is short.
        folder = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(f"/proc/self/fd/{folder}/{SOCKET_FILE}")
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as answer:
                    return dict(json.loads(answer.readline()))
        finally:
            os.close(folder)

    def _wait_until(self, condition: Any, complaint: str) -> None:  # noqa: ANN401 (a plain callable)
        deadline = time.monotonic() + REPLY_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise PlatformError(f"the supervisor of {self._home} {complaint}", next=f"cat {self._home / LOG_FILE}")
            time.sleep(0.02)


def _instance(wire: Mapping[str, Any]) -> Instance:
    return Instance(**{**wire, "state": InstanceState(wire["state"])})
