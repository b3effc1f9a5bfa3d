"""The keeper: runs instances, starts them again with back-off, takes up those of a keeper before it."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from abreast.core.errors import AbreastError
from abreast.machine.process import detached, groups, listeners
from abreast.platforms.local.supervisor.client import PROTOCOL, SOCKET
from abreast.platforms.local.supervisor.kept import Kept, Record
from abreast.platforms.local.supervisor.ports import Ports

RECORDS = "instances"


class Keeper:
    """Serves the supervisor's verbs on a Unix socket in ``home``."""

    def __init__(self, home: Path) -> None:
        self._records = home / RECORDS
        self._records.mkdir(mode=0o700, exist_ok=True)
        self._ports = Ports()
        self._kept: dict[str, Kept] = {}
        self._over = asyncio.Event()
        self._asked = False

    async def run(self, guard: int) -> bool:
        """Serve until asked to end (True), or until the guard is gone (False)."""
        self._take_up()
        Path(SOCKET).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, SOCKET, limit=1 << 24)
        Path(SOCKET).chmod(0o600)
        asyncio.get_running_loop().add_reader(os.pidfd_open(guard), self._over.set)
        await self._over.wait()
        server.close()
        Path(SOCKET).unlink(missing_ok=True)
        for kept in self._kept.values():
            kept.leave()
        return self._asked

    def _take_up(self) -> None:
        for file in sorted(self._records.glob("*.json")):
            with suppress(ValueError, KeyError, TypeError):
                record = Record.read(file)
                self._kept[record.id] = Kept.take_up(record, self._records, self._ports, self._forget)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if line := await reader.readline():
                writer.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
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
        kept = self._kept.get(spec["id"])
        if kept is None:
            record = Record.of(spec, self._ports.take() if spec["wants_port"] else None)
            kept = Kept(record, spec["env"], self._records, self._ports, self._forget)
            self._kept[record.id] = kept
        kept.ensure(spec["env"])
        # Whether it listens is told by `instances`: one look at the whole machine, not one for each start.
        return {"ok": kept.wire({}, {})}

    def _stop(self, ids: list[str], grace: float) -> dict[str, Any]:
        for name in ids:
            if kept := self._kept.get(name):
                kept.stop(grace)
        return {"ok": None}

    def _instances(self) -> dict[str, Any]:
        by_group, by_port = groups(), listeners()
        return {"ok": [kept.wire(by_group, by_port) for kept in self._kept.values()]}

    def _shutdown(self) -> dict[str, Any]:
        self._asked = True
        asyncio.get_running_loop().call_later(0.05, self._over.set)
        return {"ok": None}

    def _forget(self, name: str) -> None:
        self._kept.pop(name, None)


def main(home: Path, guard: int) -> int:
    """Keep until asked to end; if the guard died, start a new one, whose keeper takes all of it up."""
    os.chdir(home)
    os.umask(0o077)
    if not asyncio.run(Keeper(home).run(guard)):
        detached([sys.executable, "-m", "abreast.platforms.local.supervisor.guard", str(home)])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
