"""Files over HTTP/1.1 (RFC 9112), by connections that are kept.

A client for all purposes takes some ten times as long for each small file as it takes to send it, and a site has
thousands.
"""

import asyncio
import base64
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httptools
import httpx2

from abreast.machine.tls import trust

CONNECT, PATIENCE = 10.0, 30.0
"""Seconds until a connection stands, and until anything happens on it."""

PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 18
_Place = tuple[str, str, int]


class _Answer:
    """An answer as it is parsed; of one that only says to go on (1xx), nothing stays."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.content = b""
        self.begun = self.whole = self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.begun = self.parser.get_status_code() >= 200
        self.keeps = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        self.whole = self.begun
        if not self.begun:
            self.headers = []


@dataclass(slots=True)
class _Connection:
    """One connection; ``by_proxy``: to a proxy that is asked for whole addresses. ``free``: for the next request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    by_proxy: bool = False
    free: bool = False

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def more(self, answer: _Answer) -> None:
        async with asyncio.timeout(PATIENCE):
            received = await self.reader.read(_CHUNK)
        if not received:
            raise ConnectionResetError("the connection ended before an answer")
        answer.parser.feed_data(received)

    def end(self) -> None:
        """Drop it at once: a farewell in TLS could be waited for, and nobody needs it."""
        self.writer.transport.abort()


class Wire:
    """Keeps a connection for each request that is under way; raises what httpx2 does."""

    def __init__(self) -> None:
        self._idle: defaultdict[_Place, list[_Connection]] = defaultdict(list)

    async def send(self, method: str, url: str, headers: Mapping[str, str], file: Path) -> httpx2.Response:
        """Send a file's content and return the answer.

        Raises httpx2.ConnectError where it cannot have arrived, another httpx2.HTTPError where it may have.
        """
        parts = urlsplit(url)
        place = (parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme])
        connection = self._kept(place) or await _opened(place)
        try:
            answer = await _exchange(connection, method, parts, headers, file)
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            raise httpx2.ReadError(str(error) or type(error).__name__) from error
        finally:
            if connection.free:
                self._idle[place].append(connection)
            else:
                connection.end()
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.end()
        self._idle.clear()
        await asyncio.sleep(0)  # for the loop to close what was ended

    def _kept(self, place: _Place) -> _Connection | None:
        while self._idle[place]:
            connection = self._idle[place].pop()
            if not connection.reader.at_eof():
                connection.free = False
                return connection
            connection.end()
        return None


async def _exchange(
    connection: _Connection, method: str, url: SplitResult, headers: Mapping[str, str], file: Path
) -> httpx2.Response:
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    target = f"{url.scheme}://{url.netloc}{path}" if connection.by_proxy else path
    size = file.stat().st_size
    head = _head(f"{method} {target}", {"Host": url.netloc, **headers, "Content-Length": str(size)})
    sent = False
    with suppress(ConnectionError):  # who is not wanted is told so before all is sent
        if size <= _CHUNK:
            await connection.send(head, file.read_bytes())
        else:
            await connection.send(head)
            async for chunk in _chunks(file):
                await connection.send(chunk)
        sent = True
    answer = _Answer()
    while not answer.whole:
        await connection.more(answer)
    connection.free = sent and answer.keeps
    return httpx2.Response(answer.parser.get_status_code(), headers=answer.headers, content=answer.content)


def _head(request: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    if any("\r" in line or "\n" in line for line in lines):
        raise httpx2.LocalProtocolError("a line break in a header")
    return "\r\n".join(lines).encode("latin-1")


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while chunk := await asyncio.to_thread(opened.read, _CHUNK):
            yield chunk


async def _opened(place: _Place) -> _Connection:
    """Connect, through the proxy that the environment names for this place, if it does."""
    scheme, host, port = place
    proxy = None if proxy_bypass(host) else getproxies().get(scheme)
    try:
        async with asyncio.timeout(CONNECT):
            if proxy is None:
                tls = trust() if scheme == "https" else None
                return _Connection(*await asyncio.open_connection(host, port, ssl=tls))
            return await _through(httpx2.URL(proxy), place)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        raise httpx2.ConnectError(str(error) or type(error).__name__) from error


async def _through(proxy: httpx2.URL, place: _Place) -> _Connection:
    scheme, host, port = place
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port or 80)
    if scheme == "http":
        return _Connection(reader, writer, by_proxy=True)
    try:
        await _ask_through(proxy, _Connection(reader, writer), f"{host}:{port}")
        await writer.start_tls(trust(), server_hostname=host)
    except BaseException:
        writer.close()
        raise
    return _Connection(reader, writer)


async def _ask_through(proxy: httpx2.URL, asking: _Connection, where: str) -> None:
    """Ask a proxy for a way to a place; raises ConnectionRefusedError."""
    answer = _Answer()
    name = base64.b64encode(proxy.userinfo).decode()
    who = {"Proxy-Authorization": f"Basic {name}"} if proxy.userinfo else {}
    await asking.send(_head(f"CONNECT {where}", {"Host": where, **who}))
    while not answer.begun:
        await asking.more(answer)
    if answer.parser.get_status_code() != 200:
        raise ConnectionRefusedError(f"the proxy {proxy.host} does not connect to {where}")
