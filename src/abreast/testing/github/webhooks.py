"""Webhooks: events are sent to those who asked for them, signed with their secret."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping

import httpx2

from abreast.testing.github import documents
from abreast.testing.github.calls import Call
from abreast.testing.github.model import Hook

TIMEOUT = 10.0
"""Seconds that a receiver has, as GitHub gives it."""


def sign(secret: str, body: bytes) -> str:
    """Return the value of ``X-Hub-Signature-256``."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


class Webhooks:
    """Sends events. Each is sent once; whoever does not answer has missed it, as with GitHub."""

    def __init__(self) -> None:
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, call: Call, event: str, payload: Mapping[str, object]) -> None:
        """Send an event to all webhooks of the repository that want it."""
        for hook in call.repository.hooks:
            if hook.is_active and (event in hook.events or "*" in hook.events):
                self.send_to(hook, call, event, payload)

    def send_to(self, hook: Hook, call: Call, event: str, payload: Mapping[str, object]) -> None:
        """Send an event to one webhook."""
        common = {
            "repository": documents.repository(call, call.repository), "sender": documents.user(call, call.token.login),
        }  # fmt: skip
        nothing: Mapping[str, object] = (
            {"workflow": None, "workflow_run": None} if event.startswith("deployment") else {}
        )
        task = asyncio.get_running_loop().create_task(self._deliver(hook, event, {**payload, **nothing, **common}))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, hook: Hook, event: str, payload: Mapping[str, object]) -> None:
        body, delivery = json.dumps(payload).encode(), str(uuid.uuid4())
        headers = {
            "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/emulated", "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery, "X-GitHub-Hook-ID": str(hook.id),
        }  # fmt: skip
        if hook.secret:
            headers["X-Hub-Signature-256"] = sign(hook.secret, body)
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT) as client:
                status = (await client.post(hook.url, content=body, headers=headers)).status_code
        except httpx2.HTTPError:
            status = 0
        hook.deliveries.append((event, delivery, status))
