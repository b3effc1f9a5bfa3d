"""The supervisor process: runs instances, restarts them with back-off, adopts those of its predecessor."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from abreast.core.errors import AbreastError
from abreast.machine.process import listening_sockets, process_groups, start_detached
from abreast.platforms.local.supervisor.client import PROTOCOL, RECORDS_FOLDER, SOCKET_FILE
from abreast.platforms.local.supervisor.managed_process import ManagedProcess, ProcessRecord
from abreast.platforms.local.supervisor.port_allocator import PortAllocator


class ProcessManager:
    """Serves requests of ``SupervisorClient`` on a Unix socket in ``home``."""

    def __init__(self, home: Path) -> None:
        self._records_folder = home / RECORDS_FOLDER
        self._records_folder.mkdir(mode=0o700, exist_ok=True)
        self._ports = PortAllocator()
        self._processes: dict[str, ManagedProcess] = {}
        self._stop_event = asyncio.Event()
        self._stop_requested = False

    async def run(self, watchdog_pid: int) -> bool:
        """Serve until a shutdown request (returns True) or until the watchdog dies (returns False)."""
        self._adopt_processes()
        Path(SOCKET_FILE).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, SOCKET_FILE, limit=1 << 24)
        Path(SOCKET_FILE).chmod(0o600)
        asyncio.get_running_loop().add_reader(os.pidfd_open(watchdog_pid), self._stop_event.set)
        await self._stop_event.wait()
        server.close()
        Path(SOCKET_FILE).unlink(missing_ok=True)
        for process in self._processes.values():
            process.detach()
        return self._stop_requested

    def _adopt_processes(self) -> None:
        for file in sorted(self._records_folder.glob("*.json")):
            with suppress(ValueError, KeyError, TypeError):
                record = ProcessRecord.read(file)
                self._processes[record.id] = ManagedProcess.adopt(
                    record, self._records_folder, self._ports, self._remove_process
                )

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
            record = ProcessRecord.from_spec(spec, self._ports.allocate() if spec["wants_port"] else None)
            process = ManagedProcess(record, spec["env"], self._records_folder, self._ports, self._remove_process)
            self._processes[record.id] = process
        process.ensure(spec["env"])
        # `instances` reports `listening`: one scan of the machine rather than one for each start.
        return {"ok": process.to_wire({}, {})}

    def _stop(self, ids: list[str], grace: float) -> dict[str, Any]:
        for name in ids:
            if process := self._processes.get(name):
                process.stop(grace)
        return {"ok": None}

    def _instances(self) -> dict[str, Any]:
        by_group, by_port = process_groups(), listening_sockets()
        return {"ok": [process.to_wire(by_group, by_port) for process in self._processes.values()]}

    def _shutdown(self) -> dict[str, Any]:
        self._stop_requested = True
        asyncio.get_running_loop().call_later(0.05, self._stop_event.set)
        return {"ok": None}

    def _remove_process(self, name: str) -> None:
        self._processes.pop(name, None)


def main(home: Path, watchdog_pid: int) -> int:
    """Run until a shutdown request. If the watchdog died, start a new one; its supervisor adopts the instances."""
    os.chdir(home)
    os.umask(0o077)
    if not asyncio.run(ProcessManager(home).run(watchdog_pid)):
        start_detached([sys.executable, "-m", "abreast.platforms.local.supervisor.watchdog", str(home)])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
