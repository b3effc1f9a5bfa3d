"""A constant load of POSTs over keep-alive connections, counted honestly: nothing is sent twice."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

TIMEOUT = 10.0
"""Seconds after which a request without an answer has failed."""


@dataclass(slots=True)
class Tally:
    """What became of the requests; ``slowest`` in seconds, ``by_release`` counts who answered."""

    sent: int = 0
    failed: int = 0
    reconnects: int = 0
    slowest: float = 0.0
    by_release: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Load:
    """Sends the same POST over ``connections`` connections, together ``rate`` a second, from a thread."""

    def __init__(self, port: int, path: str, body: bytes, connections: int = 16, rate: float = 400.0) -> None:
        self.tally = Tally()
        self._port = port
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._connections = connections
        self._pause = connections / rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> Tally:
        """Let what is in flight finish, and return what became of it all."""
        self._over.set()
        self._thread.join(TIMEOUT + 5)
        return self.tally

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._connections)))

    async def _client(self, number: int) -> None:
        await asyncio.sleep(self._pause * number / self._connections)
        connection: _Connection | None = None
        while not self._over.is_set():
            began = time.monotonic()
            self.tally.sent += 1
            try:
                async with asyncio.timeout(TIMEOUT):
                    if connection is None:
                        connection = await _Connection.to(self._port)
                    status, headers = await connection.ask(self._request)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self._failed(f"{type(error).__name__}: {error}")
                _closed(connection)
                connection = None
            else:
                self._answered(status, headers, time.monotonic() - began)
                if headers.get("connection", "").lower() == "close":
                    _closed(connection)
                    connection = None
                    self.tally.reconnects += 1
            await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - began)))
        _closed(connection)

    def _answered(self, status: int, headers: dict[str, str], took: float) -> None:
        self.tally.slowest = max(self.tally.slowest, took)
        self.tally.by_release[headers.get("x-release", "?")] += 1
        if not 200 <= status < 300:
            self._failed(f"status {status}")

    def _failed(self, why: str) -> None:
        self.tally.failed += 1
        if len(self.tally.failures) < 5:
            self.tally.failures.append(why)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> tuple[int, dict[str, str]]:
        """Return status and headers of the answer; raises OSError or IncompleteReadError when it is cut off."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lines = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in lines}
        await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split(" ")[1]), headers

    def close(self) -> None:
        self._writer.close()


def _closed(connection: _Connection | None) -> None:
    if connection:
        connection.close()
