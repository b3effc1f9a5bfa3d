"""Processes of the traffic benchmark: a backend that reports its number, and a load generator that counts."""

import asyncio
import json
import sys
import time
from array import array
from functools import partial
from typing import ClassVar

BODY = b"x" * 64
REQUEST = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Backend(asyncio.Protocol):
    """Answers every request, with its number in ``X-Release``."""

    def __init__(self, number: str) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nX-Release: %s\r\nContent-Length: 2\r\n\r\nok" % number.encode()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            header_at = head.find(b"content-length:")
            length = end + 4 + (int(head[header_at + 15 :].split(b"\r\n", 1)[0]) if header_at >= 0 else 0)
            if len(self._buffer) < length:
                return
            self._buffer = self._buffer[length:]
            self._transport.write(self._answer)  # type: ignore[attr-defined]


class Client(asyncio.Protocol):
    """A keep-alive connection. A request without a complete 200 response has failed; none is repeated."""

    sent = failed = 0
    response_times: ClassVar[dict[int, tuple[tuple["array[float]", "array[float]"], ...]]] = {}
    """By port and number of the responding backend: the times when each request was sent and answered."""

    is_over = False

    def __init__(self, port: int, reconnects: "asyncio.Queue[int]") -> None:
        self._port = port
        self._reconnects = reconnects
        self._buffer = b""
        self._in_flight = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send_request()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]) if b"content-length:" in head else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = self._buffer[end + 4 + length :]
        self._in_flight = False
        if head.startswith(b"http/1.1 200"):
            release = int(head.split(b"x-release:", 1)[1].split(b"\r\n", 1)[0])
            sent, answered = Client.response_times[self._port][release]
            sent.append(self._asked)
            answered.append(time.monotonic())
        else:
            Client.failed += 1
        if b"\r\nconnection: close" in head:
            self._transport.close()
        else:
            self._send_request()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (the request's own state decides)
        if self._in_flight and not Client.is_over:
            Client.failed += 1
        self._reconnects.put_nowait(self._port)

    def _send_request(self) -> None:
        if Client.is_over:
            self._transport.close()
            return
        Client.sent += 1
        self._in_flight = True
        self._asked = time.monotonic()
        self._transport.write(REQUEST)  # type: ignore[attr-defined]


async def run_load(ports: list[int], connections: int, seconds: float) -> None:
    """Send requests for ``seconds`` on ``connections``, spread over the ports, and print the result as JSON."""
    loop = asyncio.get_running_loop()
    reconnects: asyncio.Queue[int] = asyncio.Queue()
    Client.response_times.update({port: tuple((array("d"), array("d")) for _ in range(2)) for port in ports})
    for number in range(connections):
        reconnects.put_nowait(ports[number % len(ports)])
    deadline = loop.time() + seconds
    while (remaining := deadline - loop.time()) > 0:
        try:
            port = await asyncio.wait_for(reconnects.get(), remaining)
        except TimeoutError:
            break
        try:
            await loop.create_connection(partial(Client, port, reconnects), "127.0.0.1", port)
        except OSError:
            Client.sent += 1
            Client.failed += 1
            await asyncio.sleep(0.01)
            reconnects.put_nowait(port)
    Client.is_over = True
    await asyncio.sleep(0.5)
    print(
        json.dumps(
            {
                "sent": Client.sent,
                "failed": Client.failed,
                "seen": [[[list(each) for each in pair] for pair in Client.response_times[port]] for port in ports],
            }
        )
    )


async def run_backend(port: int, number: str) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Backend(number), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    asyncio.run(
        run_load([int(port) for port in rest[0].split(",")], int(rest[1]), float(rest[2]))
        if role == "load"
        else run_backend(int(rest[0]), rest[1])
    )
