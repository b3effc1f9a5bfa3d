"""What an emulator can be told to get wrong."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class FaultKind(StrEnum):
    """How a request goes wrong."""

    STATUS = "status"
    """Answered with a status, headers and a body, and not carried out."""

    RESPONSE_LOST = "lost"
    """Carried out, but the connection ends before the answer is whole."""

    REQUEST_DROPPED = "dropped"
    """Not carried out: the connection ends while the request still comes in."""

    SLOW = "slow"
    """Carried out, after ``delay`` seconds."""


@dataclass
class InjectedFault:
    """The next ``times`` requests that match ``method`` and ``path`` (regular expressions) go wrong.

    The first ``skip`` of them go through.
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
        """Whether this request is one of them; counts it."""
        if self.times < 1 or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultInjector:
    """Middleware: what is in ``planned`` goes wrong, all else goes through; ``seen`` lists the requests."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.planned: list[InjectedFault] = []
        self.requests: list[tuple[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.requests.append((scope["method"], scope["path"]))
        fault = next((one for one in self.planned if one.try_match(scope["method"], scope["path"])), None)
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
    """Keep an answer from its client."""


async def _abort_response(send: Send) -> None:
    """Promise a body and end the connection without it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    raise ConnectionAbortedError
