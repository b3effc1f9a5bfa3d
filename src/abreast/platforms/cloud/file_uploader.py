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

from abreast.machine.tls import ssl_context

CONNECT_TIMEOUT, IDLE_TIMEOUT = 10.0, 30.0
"""Seconds until a connection stands, and until anything happens on it."""

DEFAULT_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 18
_Origin = tuple[str, str, int]


class _ResponseParser:
    """An answer as it is parsed; of one that only says to go on (1xx), nothing stays."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.content = b""
        self.headers_complete = self.is_complete = self.keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.headers_complete = self.parser.get_status_code() >= 200
        self.keeps_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        self.is_complete = self.headers_complete
        if not self.headers_complete:
            self.headers = []


@dataclass(slots=True)
class _Connection:
    """One connection; ``by_proxy``: to a proxy that is asked for whole addresses. ``free``: for the next request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_proxied: bool = False
    is_reusable: bool = False

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        async with asyncio.timeout(IDLE_TIMEOUT):
            await self.writer.drain()

    async def receive_into(self, answer: _ResponseParser) -> None:
        async with asyncio.timeout(IDLE_TIMEOUT):
            received = await self.reader.read(_CHUNK)
        if not received:
            raise ConnectionResetError("the connection ended before an answer")
        answer.parser.feed_data(received)

    def abort(self) -> None:
        """Drop it at once: a farewell in TLS could be waited for, and nobody needs it."""
        self.writer.transport.abort()


class FileUploader:
    """Keeps a connection for each request that is under way; raises what httpx2 does."""

    def __init__(self) -> None:
        self._idle: defaultdict[_Origin, list[_Connection]] = defaultdict(list)

    async def upload(self, method: str, url: str, headers: Mapping[str, str], file: Path) -> httpx2.Response:
        """Send a file's content and return the answer.

        Raises httpx2.ConnectError where it cannot have arrived, another httpx2.HTTPError where it may have.
        """
        parts = urlsplit(url)
        origin = (parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
        connection = self._take_idle(origin) or await _connect(origin)
        try:
            answer = await _send_file(connection, method, parts, headers, file)
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            raise httpx2.ReadError(str(error) or type(error).__name__) from error
        finally:
            if connection.is_reusable:
                self._idle[origin].append(connection)
            else:
                connection.abort()
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # for the loop to close what was ended

    def _take_idle(self, origin: _Origin) -> _Connection | None:
        while self._idle[origin]:
            connection = self._idle[origin].pop()
            if not connection.reader.at_eof():
                connection.is_reusable = False
                return connection
            connection.abort()
        return None


async def _send_file(
    connection: _Connection, method: str, url: SplitResult, headers: Mapping[str, str], file: Path
) -> httpx2.Response:
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    target = f"{url.scheme}://{url.netloc}{path}" if connection.is_proxied else path
    size = file.stat().st_size
    head = _request_head(f"{method} {target}", {"Host": url.netloc, **headers, "Content-Length": str(size)})
    sent = False
    with suppress(ConnectionError):  # who is not wanted is told so before all is sent
        if size <= _CHUNK:
            await connection.send(head, file.read_bytes())
        else:
            await connection.send(head)
            async for chunk in _chunks(file):
                await connection.send(chunk)
        sent = True
    answer = _ResponseParser()
    while not answer.is_complete:
        await connection.receive_into(answer)
    connection.is_reusable = sent and answer.keeps_alive
    return httpx2.Response(answer.parser.get_status_code(), headers=answer.headers, content=answer.content)


def _request_head(request_line: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{request_line} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    if any("\r" in line or "\n" in line for line in lines):
        raise httpx2.LocalProtocolError("a line break in a header")
    return "\r\n".join(lines).encode("latin-1")


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while chunk := await asyncio.to_thread(opened.read, _CHUNK):
            yield chunk


async def _connect(origin: _Origin) -> _Connection:
    """Connect, through the proxy that the environment names for this place, if it does."""
    scheme, host, port = origin
    proxy = None if proxy_bypass(host) else getproxies().get(scheme)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if proxy is None:
                tls = ssl_context() if scheme == "https" else None
                return _Connection(*await asyncio.open_connection(host, port, ssl=tls))
            return await _connect_by_proxy(httpx2.URL(proxy), origin)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        raise httpx2.ConnectError(str(error) or type(error).__name__) from error


async def _connect_by_proxy(proxy: httpx2.URL, origin: _Origin) -> _Connection:
    scheme, host, port = origin
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port or 80)
    if scheme == "http":
        return _Connection(reader, writer, is_proxied=True)
    try:
        await _open_tunnel(proxy, _Connection(reader, writer), f"{host}:{port}")
        await writer.start_tls(ssl_context(), server_hostname=host)
    except BaseException:
        writer.close()
        raise
    return _Connection(reader, writer)


async def _open_tunnel(proxy: httpx2.URL, connection: _Connection, authority: str) -> None:
    """Ask a proxy for a way to a place; raises ConnectionRefusedError."""
    answer = _ResponseParser()
    name = base64.b64encode(proxy.userinfo).decode()
    who = {"Proxy-Authorization": f"Basic {name}"} if proxy.userinfo else {}
    await connection.send(_request_head(f"CONNECT {authority}", {"Host": authority, **who}))
    while not answer.headers_complete:
        await connection.receive_into(answer)
    if answer.parser.get_status_code() != 200:
        raise ConnectionRefusedError(f"the proxy {proxy.host} does not connect to {authority}")
