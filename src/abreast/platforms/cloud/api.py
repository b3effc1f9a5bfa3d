"""A provider's JSON API over HTTP: repeated where that is safe, slow when told to be, clear when it fails."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import TypeAdapter, ValidationError

from abreast.core.errors import PlatformError, TransientError, UnavailableError
from abreast.core.secrets import Secret
from abreast.machine.tls import trust
from abreast.platforms.cloud.limits import wait_for
from abreast.platforms.cloud.wire import Wire
from abreast.platforms.interface import PlatformContext

T = TypeVar("T")

ATTEMPTS = 3
PATIENCE = 300.0
"""Seconds of waiting for a rate limit, over all repeats of one request."""

TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})


class NotThereError(PlatformError):
    """The provider does not know what was asked for (404)."""


class ConflictError(PlatformError):
    """What was to be made is there already, or what it was to be made from has changed (409, 412)."""


class DeniedError(PlatformError):
    """The token is missing, not known, or not allowed this (401, 403)."""


class LostAnswerError(TransientError):
    """The request may have been carried out; look for what it was to make before it is sent again."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose API it is, at ``base`` and then ``path``; ``base_variable`` names one that is set in place of ``base``.

    ``variable`` holds the token, ``scope`` is what the token must be allowed.
    """

    name: str
    base: str
    path: str
    variable: str
    scope: str
    base_variable: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a JSON ``body`` or the content of a ``file``, which is of this ``kind``.

    ``path`` is below the API's base, or an address as the API itself gave it.
    """

    method: str
    path: str
    body: object = None
    query: Mapping[str, object] = field(default_factory=dict)
    file: Path | None = None
    kind: str = "application/octet-stream"

    def __str__(self) -> str:
        return f"{self.method} {self.path.split('?')[0]}"


class Api:
    """The API at ``base``, with ``token`` as its bearer.

    GET, PUT and DELETE are repeated, three attempts in all; others only where they cannot have arrived. A rate
    limit is waited for beside that. Raises PlatformError that names the provider and the request, never a
    credential; LostAnswerError where the fate of a request that is not safe to repeat is unknown.
    """

    def __init__(self, provider: Provider, base: str, token: Secret | None, pause: float = 0.5) -> None:
        self._provider = provider
        self._token = token
        self._pause = pause
        self._wire = Wire()
        self._base = base.rstrip("/")
        self._client = httpx2.AsyncClient(base_url=self._base, timeout=TIMEOUT, verify=trust())

    async def close(self) -> None:
        """Let go of the connections."""
        await self._wire.close()
        await self._client.aclose()

    async def ask(self, kind: type[T], request: Request) -> T:
        """Send a request and return its answer as ``kind``: a pydantic model, a list of them, a dict."""
        return await self._sent(request, partial(self._read, kind, request))

    async def pages(self, kind: type[list[T]], request: Request) -> list[T]:
        """Return the items of a list that comes in pages, each with a link to the next (RFC 8288)."""
        items: list[T] = []
        while True:
            page, following = await self._sent(request, partial(self._page, kind, request))
            items += page
            if following is None:
                return items
            request = Request(request.method, following)

    async def content(self, request: Request) -> bytes:
        """Return an answer as it comes."""
        return await self._sent(request, lambda answer: answer.content)

    async def lines(self, request: Request, patience: float) -> AsyncIterator[str]:
        """Yield an answer's lines as they come, until it ends, breaks off, or is silent for ``patience`` seconds."""
        with contextlib.suppress(httpx2.HTTPError):
            opened = self._client.stream(
                request.method, request.path, headers=self._headers(request), timeout=httpx2.Timeout(patience)
            )
            async with opened as answer:
                if not answer.is_success:
                    await answer.aread()
                self._refuse(request, answer)
                async for line in answer.aiter_lines():
                    yield line

    async def tell(self, request: Request) -> None:
        """Send a request whose answer's content does not matter."""
        await self._sent(request, lambda _: None)

    def _page(self, kind: type[T], request: Request, answer: httpx2.Response) -> tuple[T, str | None]:
        return self._read(kind, request, answer), answer.links.get("next", {}).get("url")

    def _read(self, kind: type[T], request: Request, answer: httpx2.Response) -> T:
        try:
            return TypeAdapter(kind).validate_json(answer.content)
        except ValidationError as error:
            raise self._failed(request, _what_came(answer, error)) from error

    async def _sent(self, request: Request, read: Callable[[httpx2.Response], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return read(await self._within_limits(request))
            except LostAnswerError:
                raise
            except TransientError as error:
                if attempt == ATTEMPTS:
                    raise UnavailableError(f"{error.what} ({ATTEMPTS} times)", need=error.need) from error
                await asyncio.sleep(self._pause * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    async def _within_limits(self, request: Request) -> httpx2.Response:
        waited = 0.0
        while (answer := await self._once(request)).status_code == 429:
            if waited >= PATIENCE:
                raise TransientError(self._said(request, f"over its rate limit for {waited:.0f} s"))
            wait = wait_for(answer.headers, time.time())
            waited += wait + 0.1
            await asyncio.sleep(wait)
        self._refuse(request, answer)
        return answer

    async def _once(self, request: Request) -> httpx2.Response:
        asked = {name: _text(value) for name, value in request.query.items() if value is not None}
        try:
            if request.file:
                address = self._whole(request.path)
                return await self._wire.send(request.method, address, self._headers(request), request.file)
            return await self._client.request(
                request.method, request.path, params=asked or None, headers=self._headers(request), json=request.body
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise TransientError(self._said(request, _short(error)), need=f"a way to {self._provider.name}") from error
        except httpx2.HTTPError as error:
            raise self._failed(request, _short(error)) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "abreast"}
        if self._token and self._is_own(request.path):
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        if request.file:
            headers["Content-Type"] = request.kind
        return headers

    def _is_own(self, address: str) -> bool:
        """Whether the token may be shown there: an upload may lead to a host of others."""
        return urlsplit(self._whole(address))[:2] == urlsplit(self._base)[:2]

    def _whole(self, address: str) -> str:
        return address if "://" in address else self._base + address

    def _refuse(self, request: Request, answer: httpx2.Response) -> None:
        """Raise for an answer that is no 2xx."""
        status = answer.status_code
        if status in {401, 403}:
            what = "may not do this" if status == 403 else "is refused" if self._token else "is missing"
            raise DeniedError(
                self._said(request, f"the token {what} (status {status})"),
                need=f"{self._provider.variable} with {self._provider.scope}",
                next=f"export {self._provider.variable}=…",
            )
        if status == 404:
            raise NotThereError(self._said(request, _message(answer) or "not there (404)"))
        if status in {409, 412}:
            raise ConflictError(self._said(request, f"status {status} {_message(answer)}".rstrip()))
        if status >= 500:
            raise self._failed(request, f"status {status}")
        if status >= 300:
            raise PlatformError(self._said(request, f"status {status} {_message(answer)}".rstrip()))

    def _failed(self, request: Request, why: str) -> TransientError:
        """Return how a request failed that may have arrived."""
        kind = TransientError if request.method in _REPEATABLE else LostAnswerError
        return kind(self._said(request, why), need=f"{self._provider.name} to be up")

    def _said(self, request: Request, why: str) -> str:
        return f"{self._provider.name}: {request}: {why}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def connect(provider: Provider, context: PlatformContext) -> Api:
    """Return a provider's API with this machine's credential, at the address that ``base_variable`` names, if set."""
    base = context.variable(provider.base_variable) or provider.base
    return Api(provider, base.rstrip("/") + provider.path, context.secret(provider.variable))


def _short(error: Exception) -> str:
    return str(error) or type(error).__name__


def _what_came(answer: httpx2.Response, error: ValidationError) -> str:
    if not answer.content:
        return "an empty answer instead of JSON"
    if answer.content.lstrip()[:1] == b"<":
        return "HTML instead of JSON; something else may answer in its place"
    first = error.errors()[0]
    return f"an answer that was not expected: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _message(answer: httpx2.Response) -> str:
    try:
        told = answer.json()
    except ValueError:
        return ""
    return str(told.get("message") or told.get("error") or "") if isinstance(told, dict) else ""
