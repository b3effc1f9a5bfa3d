"""Faults to inject into an emulator: error responses, lost responses, dropped requests, delays."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class FaultKind(StrEnum):
    """How a request fails."""

    STATUS = "status"
    """Not carried out; the response has the fault's status, headers and body."""

    RESPONSE_LOST = "lost"
    """Carried out, but the connection ends before the response is complete."""

    REQUEST_DROPPED = "dropped"
    """Not carried out; the connection ends while the request is still being sent."""

    SLOW = "slow"
    """Carried out, after ``delay`` seconds."""


@dataclass
class InjectedFault:
    """A fault for the next ``times`` requests that match ``method`` and ``path`` (regular expressions).

    The first ``skip`` matching requests succeed.
    """

    method: str
    path: str
    kind: FaultKind
    times: int = 1
    skip: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    delay: float = 0.0

    def try_match(self, method: str, path: str) -> bool:
        """Return whether this request fails, and count it."""
        if self.times < 1 or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultInjector:
    """Middleware that injects the faults in ``planned``. ``requests`` lists method and path of all requests."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.planned: list[InjectedFault] = []
        self.requests: list[tuple[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or fail it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.requests.append((scope["method"], scope["path"]))
        fault = next((planned for planned in self.planned if planned.try_match(scope["method"], scope["path"])), None)
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.kind is FaultKind.STATUS:
            await Response(fault.body, fault.status, dict(fault.headers))(scope, receive, send)
        elif fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.delay)
            await self.app(scope, receive, send)
        elif fault.kind is FaultKind.RESPONSE_LOST:
            await self.app(scope, receive, _discard_message)
            await _abort_response(send)
        else:
            await receive()
            await _abort_response(send)


async def _discard_message(_: Message) -> None:
    """Drop the response."""


async def _abort_response(send: Send) -> None:
    """Announce a body, then end the connection without sending it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    raise ConnectionAbortedError
