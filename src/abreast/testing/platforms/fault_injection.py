"""Faults to inject into an emulator: error responses, lost responses, dropped requests, delays."""

import asyncio
import math
import re
import time
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

    The first ``skip`` matching requests succeed. The fault ends ``duration`` seconds after ``began_at``, the monotonic
    time of the first one that fails.
    """

    method: str
    path: str
    kind: FaultKind
    times: float = 1
    skip: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    delay: float = 0.0
    duration: float = math.inf
    began_at: float | None = field(default=None, init=False)

    def try_match(self, method: str, path: str) -> bool:
        """Return whether this request fails, and count it."""
        if self.times < 1 or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        now = time.monotonic()
        self.began_at = now if self.began_at is None else self.began_at
        if now - self.began_at >= self.duration:
            return False
        self.times -= 1
        return True


SPEC_FORM = "PLATFORM METHOD PATH FAULT [xTIMES] [skipN] [forSECONDS]"
_SPEC = re.compile(
    r"(?P<platform>\S+) (?P<method>\S+) (?P<path>\S+)"
    r" (?:(?P<status>[1-5]\d\d)|(?P<broken>lost|dropped)|slow(?P<delay>\d+(?:\.\d+)?))"
    r"(?: x(?P<times>\d+))?(?: skip(?P<skip>\d+))?(?: for(?P<duration>\d+(?:\.\d+)?))?"
)


def parse_fault(spec: str) -> tuple[str, InjectedFault]:
    """Return the platform and the fault of a spec of ``SPEC_FORM``, such as ``render POST /deploys$ 503 x3``.

    A fault that lasts (``for30``) hits every request meanwhile. Raises ValueError with what is wrong.
    """
    if not (found := _SPEC.fullmatch(" ".join(spec.split()))):
        raise ValueError(f"{spec!r} is not {SPEC_FORM}, with a FAULT such as 503, lost, dropped or slow2")
    for pattern in (found["method"], found["path"]):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    kind = FaultKind.STATUS if found["status"] else FaultKind(found["broken"] or FaultKind.SLOW)
    return found["platform"], InjectedFault(
        found["method"],
        found["path"],
        kind,
        times=float(found["times"] or (math.inf if found["duration"] else 1)),
        skip=int(found["skip"] or 0),
        duration=float(found["duration"] or math.inf),
        status=int(found["status"] or 500),
        delay=float(found["delay"] or 0),
    )


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
