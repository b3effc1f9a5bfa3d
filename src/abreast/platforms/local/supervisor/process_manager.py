"""The supervisor process: runs instances, restarts them with back-off, adopts those of its predecessor."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from abreast.core.errors import AbreastError
from abreast.core.model import Resources
from abreast.core.redaction.automaton import keep_automata
from abreast.machine.automaton_folder import AutomatonFolder
from abreast.machine.exit_watch import watch_exit
from abreast.machine.process import ProcessIdentity, start_detached
from abreast.platforms.local.router.files import EndpointPublisher
from abreast.platforms.local.supervisor.client import PROTOCOL, RECORDS_FOLDER, ROUTER, SOCKET_FILE
from abreast.platforms.local.supervisor.listening_proof import SocketScan
from abreast.platforms.local.supervisor.managed_process import ManagedProcess
from abreast.platforms.local.supervisor.port_allocator import PortAllocator
from abreast.platforms.local.supervisor.process_record import ProcessRecord, end_unrecorded
from abreast.platforms.local.supervisor.resource_limits import InstanceGroups

PUBLISH_RETRY, STARTING_CHECK, ENDPOINT_CHECK = 0.01, 0.1, 1.0
"""Seconds until the next attempt to reach the router, look for instances that start, look whether all still listen."""

ROUTER_FOLLOWS = 0.5
"""Seconds after which Envoy surely sends nothing to an endpoint that was taken from its files."""


class ProcessManager:
    """Serves requests of ``SupervisorClient`` on a Unix socket in ``home``."""

    def __init__(self, home: Path, publisher: EndpointPublisher) -> None:
        self.records_folder = home / RECORDS_FOLDER
        self.records_folder.mkdir(mode=0o700, exist_ok=True)
        self.ports = PortAllocator()
        self._groups = InstanceGroups(home)
        self._publisher = publisher
        self._processes: dict[str, ManagedProcess] = {}
        self._stop_event = asyncio.Event()
        self._stop_requested = False
        self._wake_event = asyncio.Event()
        self._unrecorded = self._unpublished = True
        self._afterwards: list[Callable[[], None]] = []

    async def run(self, watchdog_pid: int) -> bool:
        """Serve until a shutdown request (returns True) or until the watchdog dies (returns False)."""
        self._adopt_processes()
        self._check_endpoints()
        Path(SOCKET_FILE).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, SOCKET_FILE, limit=1 << 24)
        Path(SOCKET_FILE).chmod(0o600)
        watch_exit(ProcessIdentity.from_pid(watchdog_pid), self._stop_event.set)
        watching = asyncio.ensure_future(self._watch_endpoints())
        sweeping = asyncio.ensure_future(self._groups.sweep(lambda: self._processes))
        await self._stop_event.wait()
        watching.cancel()
        sweeping.cancel()
        server.close()
        Path(SOCKET_FILE).unlink(missing_ok=True)
        for process in self._processes.values():
            process.detach()
        return self._stop_requested

    def on_removed(self, name: str) -> None:
        """Forget a process that is stopped and removed."""
        self._processes.pop(name, None)
        self._follow_endpoints()

    def on_endpoint_proven(self) -> None:
        """Have the router follow at once."""
        self._follow_endpoints()

    def on_endpoint_lost(self, port: int, listening: socket.socket | None) -> None:
        """Refuse connections to a port, and keep others off it until the router no longer sends users there."""
        self._block_port(port, listening)
        self._afterwards.append(partial(self.ports.unblock, port))
        self._follow_endpoints()

    def on_port_left(self, port: int) -> None:
        """Release a port when the router no longer sends users there."""
        self._afterwards.append(partial(self.ports.release, port))
        self._follow_endpoints()

    def on_hung(self, name: str) -> None:
        """End a process that hangs, unless another one of its version was, and does not answer yet."""
        version = name.rpartition("-")[0]
        others = [process for id_, process in self._processes.items() if id_.rpartition("-")[0] == version]
        if not any(process.is_recovering for process in others):
            self._processes[name].end_hung()

    def _adopt_processes(self) -> None:
        records = list[ProcessRecord]()
        for file in sorted(self.records_folder.glob("*.json")):
            with suppress(ValueError, KeyError, TypeError):
                records.append(ProcessRecord.read(file))
        end_unrecorded(self.records_folder, records)
        for record in records:
            self._processes[record.id] = ManagedProcess.adopt(record, self)

    # ── endpoints ──────────────────────────────────────────────────────────────────────────────

    async def _watch_endpoints(self) -> None:
        """Notice endpoints that come and go, and have the router follow."""
        while True:
            self._check_endpoints()
            if self._unpublished and self._publisher.try_publish():
                self._unpublished = False
                self._on_published()
            starting = any(process.awaits_endpoint for process in self._processes.values())
            pause = PUBLISH_RETRY if self._unpublished else STARTING_CHECK if starting else ENDPOINT_CHECK
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake_event.wait(), pause)
            self._wake_event.clear()

    def _check_endpoints(self) -> None:
        """Look who listens, and record it: the next change of the router sends users there."""
        scan = SocketScan({process.group for process in self._processes.values()})
        for process in list(self._processes.values()):
            process.check_endpoint(scan)
            process.check_memory()
        if self._unrecorded:
            endpoints = {name: process.endpoint for name, process in self._processes.items()}
            with suppress(OSError):  # on a full disk the router keeps the endpoints that it has
                self._publisher.record({name: port for name, port in endpoints.items() if port})
                self._unrecorded = False
            self._unpublished = True

    def _follow_endpoints(self) -> None:
        self._unrecorded = True
        self._wake_event.set()

    def _block_port(self, port: int, listening: socket.socket | None, attempts: int = 100) -> None:
        """Block a port as soon as the processes that had it are gone."""
        if attempts and not self.ports.block(port, listening):
            asyncio.get_running_loop().call_later(0.01, self._block_port, port, None, attempts - 1)

    def _on_published(self) -> None:
        for action in self._afterwards:
            asyncio.get_running_loop().call_later(ROUTER_FOLLOWS, action)
        self._afterwards.clear()

    # ── requests ───────────────────────────────────────────────────────────────────────────────

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if line := await reader.readline():
                writer.write(json.dumps(self._handle_request(json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    def _handle_request(self, request: dict[str, Any]) -> dict[str, Any]:
        verbs: dict[str, Callable[..., dict[str, Any]]] = {
            "hello": self._hello, "ensure": self._ensure, "stop": self._stop,
            "instances": self._instances, "shutdown": self._shutdown,
        }  # fmt: skip
        try:
            return verbs[request.pop("verb")](**request)
        except AbreastError as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": f"{error.filename or ''}: {error.strerror}"}

    def _hello(self) -> dict[str, Any]:
        return {"protocol": PROTOCOL}

    def _ensure(self, spec: dict[str, Any]) -> dict[str, Any]:
        process = self._processes.get(spec["id"])
        if process is None:
            group = self._groups.group_for(spec["id"], Resources(**spec["resources"]))
            record = ProcessRecord.from_spec(spec, self._reserve_port(spec), group)
            process = ManagedProcess(record, spec["env"], self)
            self._processes[record.id] = process
        process.ensure(spec["env"])
        self._wake_event.set()
        return {"ok": process.to_wire()}

    def _reserve_port(self, spec: dict[str, Any]) -> int | None:
        if port := spec["app_port"]:
            self.ports.take(port)
            return int(port)
        return self.ports.allocate() if spec["wants_port"] else None

    def _stop(self, ids: list[str], grace: float) -> dict[str, Any]:
        for name in ids:
            if process := self._processes.get(name):
                process.stop(grace)
        return {"ok": None}

    def _instances(self) -> dict[str, Any]:
        self._check_endpoints()
        return {"ok": [process.to_wire() for process in self._processes.values()]}

    def _shutdown(self) -> dict[str, Any]:
        self._stop_requested = True
        asyncio.get_running_loop().call_later(0.05, self._stop_event.set)
        return {"ok": None}


def main(home: Path, watchdog_pid: int) -> int:
    """Run until a shutdown request. If the watchdog died, start a new one; its supervisor adopts the instances."""
    os.chdir(home)
    os.umask(0o077)
    keep_automata(AutomatonFolder())
    if not asyncio.run(ProcessManager(home, EndpointPublisher(home / ROUTER)).run(watchdog_pid)):
        start_detached([sys.executable, "-m", "abreast.platforms.local.supervisor.watchdog", str(home)])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
