"""Uploads files over persistent HTTP/1.1 connections (RFC 9112).

A general HTTP client spends some ten times the transfer time on each small file, and a site has thousands.
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
"""Seconds to establish a connection, and to wait for progress on it."""

DEFAULT_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 18
_Origin = tuple[str, str, int]


class _ResponseParser:
    """A response being parsed. Interim responses (1xx) are discarded."""

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
    """A connection. ``is_proxied``: to a plain proxy, which needs absolute URLs. ``is_reusable``: afterwards."""

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
            raise ConnectionResetError("the connection closed before an answer")
        answer.parser.feed_data(received)

    def abort(self) -> None:
        """Close without waiting for the TLS shutdown."""
        self.writer.transport.abort()


class FileUploader:
    """Uploads files and pools connections. Raises httpx2's errors."""

    def __init__(self) -> None:
        self._idle: defaultdict[_Origin, list[_Connection]] = defaultdict(list)

    async def upload(self, method: str, url: str, headers: Mapping[str, str], file: Path) -> httpx2.Response:
        """Upload a file and return the answer.

        Raises httpx2.ConnectError if the request cannot have arrived, another httpx2.HTTPError if it may have.
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
        """Close all connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the loop close aborted transports

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
    with suppress(ConnectionError):  # a server may reject before the body is complete
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
    """Connect to ``origin``, through the proxy from the environment if there is one."""
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
    """Open a CONNECT tunnel through a proxy. Raises ConnectionRefusedError."""
    answer = _ResponseParser()
    credentials = base64.b64encode(proxy.userinfo).decode()
    authorization = {"Proxy-Authorization": f"Basic {credentials}"} if proxy.userinfo else {}
    await connection.send(_request_head(f"CONNECT {authority}", {"Host": authority, **authorization}))
    while not answer.headers_complete:
        await connection.receive_into(answer)
    if answer.parser.get_status_code() != 200:
        raise ConnectionRefusedError(f"the proxy {proxy.host} refused a connection to {authority}")
