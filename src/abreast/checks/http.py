"""The HTTP health check: status, response time and reported commit."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.checks.interface import CheckResult
from abreast.core.model import Address, HealthSettings, Version
from abreast.core.probes import USER_AGENT
from abreast.core.reported_commit import reported_commit
from abreast.core.secrets import Secret
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.tls import ssl_context
from abreast.machine.unix_sockets import short_socket_path

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")

MAX_BODY_SIZE = 65536
"""Maximum bytes of an answer to read for its commit."""

MAX_CONCURRENT_REQUESTS = 32
"""Maximum concurrent requests. More would only slow each other and the service."""


class HttpCheck:
    """Requests the health path of every instance of a version; a ``Check``.

    Compares the commit if the answer reports one: ``commit`` in JSON, or the header ``X-Commit``. ``secret`` looks up
    the token of an address that needs one. Redirects are not followed.
    """

    def __init__(self, secret: Callable[[str], Secret | None] = lambda _: None) -> None:
        self._secret = secret
        self._clients: dict[str | None, httpx2.AsyncClient] = {}
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def __call__(self, version: Version, health: HealthSettings, commit: str) -> CheckResult:
        """Return success if all instances are healthy, otherwise the first failure."""
        results = await asyncio.gather(*(self._check_instance(address, health, commit) for address in version.probes))
        return next((result for result in results if not result.success), CheckResult(success=True))

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _check_instance(self, address: Address, health: HealthSettings, commit: str) -> CheckResult:
        request_line = f"GET {address.url.rstrip('/')}{health.path}"
        try:
            async with self._semaphore, asyncio.timeout(health.within), self._stream(address, health) as answer:
                body = await _read_prefix(answer)
        except TimeoutError:
            return CheckResult(success=False, why=f"{request_line}: no answer within {health.within:g} s")
        except httpx2.HTTPError as error:
            return CheckResult(success=False, why=f"{request_line}: {str(error) or type(error).__name__}")
        if not 200 <= answer.status_code < health.failing_status:
            why = f"{request_line}: status {answer.status_code}"
            return CheckResult(success=False, why=why, status=answer.status_code)
        return _check_commit(request_line, answer, body, commit)

    @asynccontextmanager
    async def _stream(self, address: Address, health: HealthSettings) -> "AsyncIterator[httpx2.Response]":
        client = self._clients.get(address.socket) or self._new_client(address.socket)
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
        if address.bearer and (token := self._secret(address.bearer)):
            headers["Authorization"] = f"Bearer {token.reveal()}"
        async with client.stream("GET", address.url.rstrip("/") + health.path, headers=headers) as answer:
            yield answer

    def _new_client(self, socket: str | None) -> "httpx2.AsyncClient":
        # A kept connection could lead to the version that retires.
        limits = httpx2.Limits(max_keepalive_connections=0)
        transport = httpx2.AsyncHTTPTransport(
            verify=ssl_context(), uds=short_socket_path(Path(socket)) if socket else None, limits=limits
        )
        self._clients[socket] = httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)
        return self._clients[socket]


async def _read_prefix(answer: "httpx2.Response") -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) >= MAX_BODY_SIZE:
            break
    return body


def _check_commit(request_line: str, answer: "httpx2.Response", body: bytes, commit: str) -> CheckResult:
    reported = reported_commit(answer.headers, body)
    if reported and not commit.startswith(reported) and not reported.startswith(commit):
        why = f"{request_line}: answers for commit {reported[:7]}, not for {commit[:7]}"
        return CheckResult(success=False, why=why, final=True)
    return CheckResult(success=True)
