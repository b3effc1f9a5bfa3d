"""One message over HTTP: what the answers of all receivers have in common, in clear words."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.secrets import Secret
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.tls import ssl_context
from abreast.notify.interface import NotificationDelayedError, NotificationError

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")

TIMEOUT = 8.0
"""Seconds for one message, from the connection to the end of the answer."""

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""

_PERHAPS_CARRIED_OUT = frozenset({408, 502, 504})
"""Statuses of something between abreast and the service, which does not know what the service did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered: ``text`` is the beginning of its body, ``page`` whether that is HTML."""

    status: int
    text: str
    content_type: str

    @property
    def summary(self) -> str:
        """The answer in a few words."""
        if self.content_type == "text/html":
            return f"{self.status} with a web page"
        return f"{self.status} {' '.join(self.text.split())[:100]}".rstrip()


async def post(service: str, url: Secret, content: bytes, headers: Mapping[str, str]) -> Answer:
    """Post the content, and return an answer below 500 that is no redirect and not 429.

    Nothing follows a redirect: the content, and what authorizes it, is for this address only. Raises
    NotificationDelayedError or NotificationError.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _exchange(service, url, content, headers)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise NotificationDelayedError(f"{service} cannot be reached: {type(error).__name__}") from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise NotificationError(f"the address of {service} is not a URL", need="https://…") from error
    except TimeoutError as error:
        what = f"{service} does not answer within {TIMEOUT:.0f} s"
        raise NotificationDelayedError(what, is_uncertain=True) from error
    except httpx2.HTTPError as error:
        what = f"{service} ended the connection without an answer: {type(error).__name__}"
        raise NotificationDelayedError(what, is_uncertain=True) from error


async def _exchange(service: str, url: Secret, content: bytes, headers: Mapping[str, str]) -> Answer:
    async with (
        httpx2.AsyncClient(timeout=TIMEOUT, verify=ssl_context()) as client,
        client.stream("POST", url.reveal(), content=content, headers=headers) as response,
    ):
        _check_status(service, response)
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER:
                break
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Answer(response.status_code, bytes(body[:MAX_ANSWER]).decode(errors="replace"), kind)


def _check_status(service: str, response: "httpx2.Response") -> None:
    status = response.status_code
    if 300 <= status < 400:
        host = urlsplit(response.headers.get("location", "")).hostname or "another path"
        raise NotificationError(
            f"{service} answers {status}: a redirect to {host}, which is not followed",
            need="the address that it leads to, if that is right",
        )
    if status == 429 or status >= 500 or status in _PERHAPS_CARRIED_OUT:
        raise NotificationDelayedError(
            f"{service} answers {status}",
            retry_after=_seconds(response.headers.get("retry-after", "")),
            is_uncertain=status in _PERHAPS_CARRIED_OUT,
        )


def _seconds(retry_after: str) -> float:
    """Return the seconds of a header, which may also be a date (RFC 9110, 10.2.3)."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def check_url(service: str, url: Secret) -> None:
    """Raise UsageError if a secret address is none, without quoting it."""
    parts = urlsplit(url.reveal())
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise UsageError(f"the address of {service} is not a URL", need="https://…")
