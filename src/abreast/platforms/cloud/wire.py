"""Files over HTTP/1.1 (RFC 9112), by connections that are kept.

A client for all purposes takes some ten times as long for each small file as it takes to send it, and a site has
thousands.
"""

import asyncio
import base64
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import h11
import httpx2

from abreast.machine.tls import trust

CONNECT, PATIENCE = 10.0, 30.0
"""Seconds until a connection stands, and until anything happens on it."""

PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 18
_Place = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class _Connection:
    """One connection; ``by_proxy``: to a proxy that is asked for whole addresses."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: h11.Connection
    by_proxy: bool = False

    async def next(self) -> h11.Event:
        while (event := self.protocol.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(PATIENCE):
                self.protocol.receive_data(await self.reader.read(_CHUNK))
        assert not isinstance(event, type)
        return event

    async def send(self, *events: h11.Event) -> None:
        self.writer.write(b"".join(self.protocol.send(event) or b"" for event in events))
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

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
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            raise httpx2.ReadError(str(error) or type(error).__name__) from error
        finally:
            if connection.protocol.our_state is connection.protocol.their_state is h11.DONE:
                connection.protocol.start_next_cycle()
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
                return connection
            connection.end()
        return None


async def _exchange(
    connection: _Connection, method: str, url: SplitResult, headers: Mapping[str, str], file: Path
) -> httpx2.Response:
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    target = f"{url.scheme}://{url.netloc}{path}" if connection.by_proxy else path
    size = file.stat().st_size
    told = [("Host", url.netloc), *headers.items(), ("Content-Length", str(size))]
    request = h11.Request(method=method, target=target, headers=told)
    with suppress(ConnectionError):  # who is not wanted is told so before all is sent
        if size <= _CHUNK:
            await connection.send(request, h11.Data(data=file.read_bytes()), h11.EndOfMessage())
        else:
            await connection.send(request)
            async for chunk in _chunks(file):
                await connection.send(h11.Data(data=chunk))
            await connection.send(h11.EndOfMessage())
    status, found, content = 0, list[tuple[bytes, bytes]](), b""
    while not isinstance(event := await connection.next(), h11.EndOfMessage):
        if isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("the connection ended before an answer")
        if isinstance(event, h11.Response):
            status, found = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            content += event.data
    return httpx2.Response(status, headers=found, content=content)


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
                return _Connection(*await asyncio.open_connection(host, port, ssl=tls), h11.Connection(h11.CLIENT))
            return await _through(httpx2.URL(proxy), place)
    except (OSError, TimeoutError, ssl.SSLError, h11.ProtocolError) as error:
        raise httpx2.ConnectError(str(error) or type(error).__name__) from error


async def _through(proxy: httpx2.URL, place: _Place) -> _Connection:
    scheme, host, port = place
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port or 80)
    if scheme == "http":
        return _Connection(reader, writer, h11.Connection(h11.CLIENT), by_proxy=True)
    asking = _Connection(reader, writer, h11.Connection(h11.CLIENT))
    where = f"{host}:{port}"
    name = base64.b64encode(proxy.userinfo).decode()
    who = [("Proxy-Authorization", f"Basic {name}")] if proxy.userinfo else []
    await asking.send(h11.Request(method="CONNECT", target=where, headers=[("Host", where), *who]))
    answer = await asking.next()
    if not isinstance(answer, h11.Response) or answer.status_code != 200:
        asking.end()
        raise ConnectionRefusedError(f"the proxy {proxy.host} does not connect to {where}")
    await writer.start_tls(trust(), server_hostname=host)
    return _Connection(reader, writer, h11.Connection(h11.CLIENT))
