"""Health over HTTP: status, time, and the commit that the answer names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from abreast.checks.interface import Finding
from abreast.core.model import Address, Health, Version
from abreast.core.told import commit_told
from abreast.machine.sockets import short_socket
from abreast.machine.tls import trust

ENOUGH = 65536
"""Bytes of an answer that are read for the commit it names."""

AT_ONCE = 32
"""Requests under way at once; more only wait for each other, and those under test for them."""


class HttpCheck:
    """Asks every instance of a version at its health path; usable as a ``Check``.

    The version is checked where it is told: a JSON answer's ``commit``, or the header ``X-Commit``.
    """

    def __init__(self) -> None:
        self._clients: dict[str | None, httpx2.AsyncClient] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, version: Version, health: Health, commit: str) -> Finding:
        """Tell whether all instances answer well now; the first that does not is named."""
        findings = await asyncio.gather(*(self._ask(place, health, commit) for place in version.probes))
        return next((finding for finding in findings if not finding.good), Finding(good=True))

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self, place: Address, health: Health, commit: str) -> Finding:
        where = f"GET {place.url.rstrip('/')}{health.path}"
        try:
            async with self._room, asyncio.timeout(health.within), self._stream(place, health) as answer:
                body = await _beginning(answer)
        except TimeoutError:
            return Finding(good=False, why=f"{where}: no answer within {health.within:g} s")
        except httpx2.HTTPError as error:
            return Finding(good=False, why=f"{where}: {str(error) or type(error).__name__}")
        if not answer.is_success and not answer.is_redirect:
            return Finding(good=False, why=f"{where}: status {answer.status_code}")
        return _version_of(where, answer, body, commit)

    @asynccontextmanager
    async def _stream(self, place: Address, health: Health) -> AsyncIterator[httpx2.Response]:
        client = self._clients.get(place.socket) or self._client(place.socket)
        headers = {"User-Agent": "abreast", "Accept": "*/*"}
        async with client.stream("GET", place.url.rstrip("/") + health.path, headers=headers) as answer:
            yield answer

    def _client(self, socket: str | None) -> httpx2.AsyncClient:
        # No connection is kept: a reused one could belong to the version that is going.
        limits = httpx2.Limits(max_keepalive_connections=0)
        transport = httpx2.AsyncHTTPTransport(
            verify=trust(), uds=short_socket(Path(socket)) if socket else None, limits=limits
        )
        self._clients[socket] = httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)
        return self._clients[socket]


async def _beginning(answer: httpx2.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) >= ENOUGH:
            break
    return body


def _version_of(where: str, answer: httpx2.Response, body: bytes, commit: str) -> Finding:
    told = commit_told(answer.headers, body)
    if told and not commit.startswith(told) and not told.startswith(commit):
        why = f"{where}: answers for commit {told[:7]}, not for {commit[:7]}"
        return Finding(good=False, why=why, final=True)
    return Finding(good=True)
