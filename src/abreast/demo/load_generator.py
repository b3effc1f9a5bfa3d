"""A constant load of POSTs over keep-alive connections. A failed request counts as failed: none is retried."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

TIMEOUT = 10.0
"""Seconds after which an unanswered request counts as failed."""


@dataclass(slots=True)
class LoadStats:
    """The outcome of all requests. ``max_latency`` is in seconds; ``responses_by_release`` counts who answered."""

    sent: int = 0
    failed: int = 0
    reconnects: int = 0
    max_latency: float = 0.0
    responses_by_release: Counter[str] = field(default_factory=Counter)
    failure_samples: list[str] = field(default_factory=list)


class LoadGenerator:
    """Sends ``rate`` POSTs per second in all, over ``connections`` connections, from a thread."""

    def __init__(self, port: int, path: str, body: bytes, connections: int = 16, rate: float = 400.0) -> None:
        self.stats = LoadStats()
        self._port = port
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._connections = connections
        self._interval = connections / rate
        self._stop_event = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> LoadStats:
        """Wait for requests in flight, and return the outcome of all."""
        self._stop_event.set()
        self._thread.join(TIMEOUT + 5)
        return self.stats

    async def _run(self) -> None:
        await asyncio.gather(*(self._run_client(number) for number in range(self._connections)))

    async def _run_client(self, number: int) -> None:
        await asyncio.sleep(self._interval * number / self._connections)
        connection: _Connection | None = None
        while not self._stop_event.is_set():
            began = time.monotonic()
            self.stats.sent += 1
            try:
                async with asyncio.timeout(TIMEOUT):
                    if connection is None:
                        connection = await _Connection.open(self._port)
                    status, headers = await connection.send_request(self._request)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self._record_failure(f"{type(error).__name__}: {error}")
                _close(connection)
                connection = None
            else:
                self._record_response(status, headers, time.monotonic() - began)
                if headers.get("connection", "").lower() == "close":
                    _close(connection)
                    connection = None
                    self.stats.reconnects += 1
            await asyncio.sleep(max(0.0, self._interval - (time.monotonic() - began)))
        _close(connection)

    def _record_response(self, status: int, headers: dict[str, str], latency: float) -> None:
        self.stats.max_latency = max(self.stats.max_latency, latency)
        self.stats.responses_by_release[headers.get("x-release", "?")] += 1
        if not 200 <= status < 300:
            self._record_failure(f"status {status}")

    def _record_failure(self, reason: str) -> None:
        self.stats.failed += 1
        if len(self.stats.failure_samples) < 5:
            self.stats.failure_samples.append(reason)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send_request(self, request: bytes) -> tuple[int, dict[str, str]]:
        """Return status and headers of the response. Raises OSError or IncompleteReadError if it is cut off."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lines = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in lines}
        await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split(" ")[1]), headers

    def close(self) -> None:
        self._writer.close()


def _close(connection: _Connection | None) -> None:
    if connection:
        connection.close()
