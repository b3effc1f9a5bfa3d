"""A client for a provider's JSON API: retries where that is safe, waits for rate limits, maps errors."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import TypeAdapter, ValidationError

from abreast.core.errors import PlatformError, TransientError, UnavailableError
from abreast.core.secrets import Secret
from abreast.machine.tls import ssl_context
from abreast.provider_api.file_uploader import FileUploader
from abreast.provider_api.rate_limits import rate_limit_delay

T = TypeVar("T")

MAX_ATTEMPTS = 3
MAX_RATE_LIMIT_WAIT, MAX_RATE_LIMIT_DELAY = 300.0, 120.0
"""Maximum seconds that one request waits for rate limits: in total, and before the next attempt."""

TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE"})


class NotFoundError(PlatformError):
    """The provider has no such resource (404)."""


class ConflictError(PlatformError):
    """The resource exists already, or its base has changed (409, 412)."""


class AccessDeniedError(PlatformError):
    """The token is missing, invalid, or lacks a ``permission`` (401, 403), "" if the provider does not name it."""

    def __init__(self, what: str, *, need: str = "", next: str = "", permission: str = "") -> None:
        super().__init__(what, need=need, next=next)
        self.permission = permission


class UnknownOutcomeError(TransientError):
    """The request may have been carried out. Look for its result before sending it again."""


def _throttled_for(answer: httpx2.Response, now: float) -> float | None:
    return rate_limit_delay(answer.headers, now) if answer.status_code == 429 else None


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider whose API is at ``base_url`` + ``api_path``.

    The variable ``base_variable`` overrides ``base_url``. The variable ``token_variable`` holds the token;
    ``scope`` describes the permissions that it needs. ``headers`` go with each request. ``throttled_for`` returns the
    seconds to wait if an answer, at a time in seconds since 1970, refuses for a rate limit; ``needed_permission`` what
    the token lacks, if an answer says so.
    """

    name: str
    base_url: str
    api_path: str
    token_variable: str
    scope: str
    base_variable: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    throttled_for: Callable[[httpx2.Response, float], float | None] = _throttled_for
    needed_permission: Callable[[httpx2.Response], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Request:
    """A request with a JSON ``body``, or the content of ``file`` as ``content_type``.

    ``path`` is relative to the API's base, or a URL that the API returned. ``headers`` replace the usual ones.
    """

    method: str
    path: str
    body: object = None
    query: Mapping[str, object] = field(default_factory=dict)
    file: Path | None = None
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path.split('?')[0]}"


class ApiClient:
    """The API at ``base_url``, with ``token`` as bearer token.

    Makes up to three attempts for GET, PUT and DELETE; other methods are retried only if the request cannot have
    arrived. Waits for rate limits on top of that. Raises PlatformError, which names the provider and the request but
    no credential; UnknownOutcomeError if a request that is not idempotent may have been carried out.
    """

    def __init__(self, provider: Provider, base_url: str, token: Secret | None, retry_delay: float = 0.5) -> None:
        self._provider = provider
        self._token = token
        self._retry_delay = retry_delay
        self._uploader = FileUploader()
        self._base_url = base_url.rstrip("/")
        self._client = httpx2.AsyncClient(base_url=self._base_url, timeout=TIMEOUT, verify=ssl_context())

    async def close(self) -> None:
        """Close all connections."""
        await self._uploader.close()
        await self._client.aclose()

    async def fetch(self, answer_type: type[T], request: Request) -> T:
        """Send a request and parse its answer as ``answer_type``: a pydantic model, a list of them, a dict."""
        return await self._send_with_retries(request, partial(self._parse, answer_type, request))

    async def fetch_pages(self, answer_type: type[list[T]], request: Request) -> list[T]:
        """Return the items of all pages; each page links to the next (RFC 8288)."""
        items: list[T] = []
        while True:
            page, next_url = await self._send_with_retries(request, partial(self._parse_page, answer_type, request))
            items += page
            if next_url is None:
                return items
            request = Request(request.method, next_url)

    async def fetch_bytes(self, request: Request) -> bytes:
        """Send a request and return the raw answer."""
        return await self._send_with_retries(request, lambda answer: answer.content)

    async def stream_lines(self, request: Request, idle_timeout: float) -> AsyncIterator[str]:
        """Yield an answer's lines until it ends, breaks off, or is silent for ``idle_timeout`` seconds."""
        with contextlib.suppress(httpx2.HTTPError):
            opened = self._client.stream(
                request.method, request.path, headers=self._headers(request), timeout=httpx2.Timeout(idle_timeout)
            )
            async with opened as answer:
                if not answer.is_success:
                    await answer.aread()
                self._raise_for_status(request, answer)
                async for line in answer.aiter_lines():
                    yield line

    async def send(self, request: Request) -> None:
        """Send a request and ignore the content of its answer."""
        await self._send_with_retries(request, lambda _: None)

    def _parse_page(self, answer_type: type[T], request: Request, answer: httpx2.Response) -> tuple[T, str | None]:
        return self._parse(answer_type, request, answer), answer.links.get("next", {}).get("url")

    def _parse(self, answer_type: type[T], request: Request, answer: httpx2.Response) -> T:
        try:
            return TypeAdapter(answer_type).validate_json(answer.content)
        except ValidationError as error:
            raise self._delivery_error(request, _invalid_answer_reason(answer, error)) from error

    async def _send_with_retries(self, request: Request, parse: Callable[[httpx2.Response], T]) -> T:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return parse(await self._send_rate_limited(request))
            except UnknownOutcomeError:
                raise
            except TransientError as error:
                if attempt == MAX_ATTEMPTS:
                    raise UnavailableError(f"{error.what} ({MAX_ATTEMPTS} times)", need=error.need) from error
                await asyncio.sleep(self._retry_delay * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    async def _send_rate_limited(self, request: Request) -> httpx2.Response:
        waited = 0.0
        while True:
            answer = await self._send_once(request)
            delay = self._provider.throttled_for(answer, time.time())
            if delay is None:
                break
            if waited >= MAX_RATE_LIMIT_WAIT:
                raise TransientError(self._error_text(request, f"rate limit still exceeded after {waited:.0f} s"))
            if delay > MAX_RATE_LIMIT_WAIT:
                raise self._quota_error(request, delay)
            wait = min(delay, MAX_RATE_LIMIT_DELAY)
            waited += wait + 0.1
            await asyncio.sleep(wait)
        self._raise_for_status(request, answer)
        return answer

    async def _send_once(self, request: Request) -> httpx2.Response:
        query = {name: _query_text(value) for name, value in request.query.items() if value is not None}
        try:
            if request.file:
                address = self._absolute_url(request.path)
                return await self._uploader.upload(request.method, address, self._headers(request), request.file)
            return await self._client.request(
                request.method, request.path, params=query or None, headers=self._headers(request), json=request.body,
                follow_redirects=request.method == "GET",
            )  # fmt: skip
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise TransientError(
                self._error_text(request, _exception_text(error)), need=f"a network connection to {self._provider.name}"
            ) from error
        except httpx2.HTTPError as error:
            raise self._delivery_error(request, _exception_text(error)) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "abreast", **self._provider.headers}
        if self._token and self._is_own_host(request.path):
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        if request.file:
            headers["Content-Type"] = request.content_type
        return {**headers, **request.headers}

    def _is_own_host(self, address: str) -> bool:
        """Return whether the URL is the API's: an upload URL can be on another host, which must not get the token."""
        return urlsplit(self._absolute_url(address))[:2] == urlsplit(self._base_url)[:2]

    def _absolute_url(self, address: str) -> str:
        return address if "://" in address else self._base_url + address

    def _raise_for_status(self, request: Request, answer: httpx2.Response) -> None:
        """Raise the matching error for a status other than 2xx."""
        status = answer.status_code
        if status in {401, 403}:
            what = "may not do this" if status == 403 else "is refused" if self._token else "is missing"
            permission = self._provider.needed_permission(answer) if status == 403 else ""
            raise AccessDeniedError(
                self._error_text(request, f"the token {what} (status {status})"),
                need=f"{self._provider.token_variable} with {permission or self._provider.scope}",
                next=f"export {self._provider.token_variable}=…",
                permission=permission,
            )
        if status == 404:
            raise NotFoundError(self._error_text(request, _provider_message(answer) or "not found (404)"))
        if status in {409, 412}:
            raise ConflictError(self._error_text(request, f"status {status} {_provider_message(answer)}".rstrip()))
        if status >= 500:
            raise self._delivery_error(request, f"status {status}")
        if status >= 300:
            raise PlatformError(self._error_text(request, f"status {status} {_provider_message(answer)}".rstrip()))

    def _delivery_error(self, request: Request, why: str) -> TransientError:
        """Return the error for a request that may have arrived."""
        kind = TransientError if request.method in _IDEMPOTENT_METHODS else UnknownOutcomeError
        return kind(self._error_text(request, why), need=f"{self._provider.name} to be up")

    def _quota_error(self, request: Request, delay: float) -> PlatformError:
        """Return the error for a limit that lasts longer than any request waits, such as one of a day."""
        again = (datetime.now(UTC) + timedelta(seconds=delay)).strftime("%Y-%m-%d %H:%M UTC")
        return PlatformError(
            self._error_text(request, f"rate limit exceeded until {again}"),
            need=f"a request that {self._provider.name} allows again after that",
            next="the same command, after that time",
        )

    def _error_text(self, request: Request, why: str) -> str:
        return f"{self._provider.name}: {request}: {why}"


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Settings(Protocol):
    """Looks up a machine setting, and a credential; None for what is not set."""

    @property
    def variable(self) -> Callable[[str], str | None]:
        """A machine setting by its name."""

    @property
    def secret(self) -> Callable[[str], Secret | None]:
        """A credential by its name."""


def connect(provider: Provider, settings: Settings) -> ApiClient:
    """Return a client for a provider, with the token and the base URL from the settings."""
    base = settings.variable(provider.base_variable) or provider.base_url
    return ApiClient(provider, base.rstrip("/") + provider.api_path, settings.secret(provider.token_variable))


def _exception_text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _invalid_answer_reason(answer: httpx2.Response, error: ValidationError) -> str:
    if not answer.content:
        return "an empty answer instead of JSON"
    if answer.content.lstrip()[:1] == b"<":
        return "HTML instead of JSON; a proxy may have answered"
    first = error.errors()[0]
    return f"an unexpected answer: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _provider_message(answer: httpx2.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return ""
    return str(body.get("message") or body.get("error") or "") if isinstance(body, dict) else ""
