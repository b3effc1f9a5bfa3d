"""The two ends of the turn's benchmark, as processes: a backend that names itself, and a load that counts."""

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
    """Answers every request with its number."""

    def __init__(self, number: str) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nX-Release: %s\r\nContent-Length: 2\r\n\r\nok" % number.encode()
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._left += data
        while (end := self._left.find(b"\r\n\r\n")) >= 0:
            head = self._left[:end].lower()
            at = head.find(b"content-length:")
            whole = end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
            if len(self._left) < whole:
                return
            self._left = self._left[whole:]
            self._transport.write(self._answer)  # type: ignore[attr-defined]


class Client(asyncio.Protocol):
    """One keep-alive connection; a request that is not answered in whole with 200 has failed, none is repeated."""

    sent = failed = 0
    seen: ClassVar[dict[int, tuple[tuple["array[float]", "array[float]"], ...]]] = {}
    """By port and number of the backend that answered: when each request was sent, and when it was answered."""

    over = False

    def __init__(self, port: int, again: "asyncio.Queue[int]") -> None:
        self._port = port
        self._again = again
        self._left = b""
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._left += data
        end = self._left.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._left[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]) if b"content-length:" in head else 0
        if len(self._left) < end + 4 + length:
            return
        self._left = self._left[end + 4 + length :]
        self._waiting = False
        if head.startswith(b"http/1.1 200"):
            release = int(head.split(b"x-release:", 1)[1].split(b"\r\n", 1)[0])
            sent, answered = Client.seen[self._port][release]
            sent.append(self._asked)
            answered.append(time.monotonic())
        else:
            Client.failed += 1
        if b"\r\nconnection: close" in head:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (what became of the request tells)
        if self._waiting and not Client.over:
            Client.failed += 1
        self._again.put_nowait(self._port)

    def _ask(self) -> None:
        if Client.over:
            self._transport.close()
            return
        Client.sent += 1
        self._waiting = True
        self._asked = time.monotonic()
        self._transport.write(REQUEST)  # type: ignore[attr-defined]


async def load(ports: list[int], connections: int, seconds: float) -> None:
    """Ask over and over for ``seconds``, by connections shared among the ports, then print what became of it."""
    loop = asyncio.get_running_loop()
    again: asyncio.Queue[int] = asyncio.Queue()
    Client.seen.update({port: tuple((array("d"), array("d")) for _ in range(2)) for port in ports})
    for number in range(connections):
        again.put_nowait(ports[number % len(ports)])
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        try:
            port = await asyncio.wait_for(again.get(), left)
        except TimeoutError:
            break
        try:
            await loop.create_connection(partial(Client, port, again), "127.0.0.1", port)
        except OSError:
            Client.sent += 1
            Client.failed += 1
            await asyncio.sleep(0.01)
            again.put_nowait(port)
    Client.over = True
    await asyncio.sleep(0.5)
    print(
        json.dumps(
            {
                "sent": Client.sent,
                "failed": Client.failed,
                "seen": [[[list(each) for each in pair] for pair in Client.seen[port]] for port in ports],
            }
        )
    )


async def backend(port: int, number: str) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Backend(number), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    asyncio.run(
        load([int(port) for port in rest[0].split(",")], int(rest[1]), float(rest[2]))
        if role == "load"
        else backend(int(rest[0]), rest[1])
    )
