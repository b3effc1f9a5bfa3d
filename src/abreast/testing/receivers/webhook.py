"""An address of one's own behind a webhook. It takes only what is signed as Standard Webhooks says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector

SECRET = f"whsec_{base64.b64encode(b'a secret of the emulator, 32 byte').decode()}"
TOLERANCE = 300.0
"""Seconds that the clock of a sender may be wrong."""


class WebhookEndpoint:
    """Serve ``app`` with ``ThreadedServer``. ``events`` are those that were taken, each id once, in order."""

    def __init__(self, secret: str = SECRET) -> None:
        self.events: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self.faults = FaultInjector(Starlette(routes=[Route("/{path:path}", self._receive, methods=["POST"])]))
        self.app = self.faults

    async def _receive(self, request: Request) -> Response:
        content = await request.body()
        if problem := self._problem(request.headers, content):
            return PlainTextResponse(problem, 401)
        try:
            event = json.loads(content)
        except ValueError:
            return PlainTextResponse("not JSON", 400)
        if not isinstance(event, dict) or not {"type", "timestamp", "data"} <= event.keys():
            return PlainTextResponse("not an event: type, timestamp, data", 400)
        number = request.headers["webhook-id"]
        if number not in self.seen:
            self.seen.add(number)
            self.events.append(event)
        return Response(status_code=204)

    def _problem(self, headers: Mapping[str, str], content: bytes) -> str:
        """Return what is wrong with the signature, "" if nothing is."""
        number, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not number or "." in number or not moment.isdecimal():
            return "no webhook-id or webhook-timestamp"
        if abs(time.time() - int(moment)) > TOLERANCE:
            return "webhook-timestamp is too old or too new"
        signed = hmac.digest(self._key, f"{number}.{moment}.".encode() + content, hashlib.sha256)
        expected = f"v1,{base64.b64encode(signed).decode()}"
        given = headers.get("webhook-signature", "").split()
        is_signed = any(hmac.compare_digest(each.encode(), expected.encode()) for each in given)
        return "" if is_signed else "no signature matches"
