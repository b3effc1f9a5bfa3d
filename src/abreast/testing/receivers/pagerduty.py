"""The Events API of PagerDuty, version 2. It refuses what PagerDuty refuses, and answers as PagerDuty does.

https://developer.pagerduty.com/docs/events-api-v2-overview. Stricter: what PagerDuty cuts off is refused.
"""

import json
import re
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector

ROUTING_KEY = "0123456789abcdef0123456789ABCDEF"
MAX_BYTES = 512 * 1024

_PAYLOAD_KEYS = frozenset(
    {"summary", "timestamp", "severity", "source", "component", "group", "class", "custom_details"}
)
_KEYS = frozenset(
    {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
)  # fmt: skip
_SEVERITIES = frozenset({"critical", "error", "warning", "info"})


class PagerDutyService:
    """Serve ``app`` with ``ThreadedServer``. ``alerts`` are the open ones by ``dedup_key``, ``events`` all, in order.

    ``changes`` are the change events.
    """

    def __init__(self) -> None:
        self.alerts: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        routes = [
            Route("/v2/enqueue", self._enqueue, methods=["POST"]),
            Route("/v2/change/enqueue", self._enqueue_change, methods=["POST"]),
        ]
        self.faults = FaultInjector(Starlette(routes=routes))
        self.app = self.faults

    async def _enqueue(self, request: Request) -> Response:
        event = await _read(request)
        if errors := _event_errors(event):
            return _refused(errors)
        key = event.get("dedup_key") or f"generated-{len(self.events)}"
        self.events.append(event)
        if event["event_action"] == "trigger":
            self.alerts[key] = event
        elif event["event_action"] == "resolve":
            self.alerts.pop(key, None)
        return JSONResponse({"status": "success", "message": "Event processed", "dedup_key": key}, 202)

    async def _enqueue_change(self, request: Request) -> Response:
        event = await _read(request)
        if errors := _change_errors(event):
            return _refused(errors)
        self.changes.append(event)
        return JSONResponse({"status": "success", "message": "Change event processed"}, 202)


async def _read(request: Request) -> Any:  # noqa: ANN401 (any JSON value)
    content = await request.body()
    if len(content) > MAX_BYTES:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None


def _refused(errors: list[str]) -> Response:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    return JSONResponse(body, 400)


def _event_errors(event: Any) -> list[str]:  # noqa: ANN401 (any JSON value)
    """Return what is wrong with an alert event."""
    if errors := _common_errors(event):
        return errors
    action, key = event.get("event_action"), event.get("dedup_key")
    if action not in {"trigger", "acknowledge", "resolve"}:
        return ["'event_action' is missing or invalid"]
    if key is not None and not (isinstance(key, str) and len(key) <= 255):
        return ["Length of 'dedup_key' is incorrect"]
    if action != "trigger":
        return [] if key else ["'dedup_key' is missing or blank"]
    payload = event.get("payload")
    errors = _payload_errors(payload)
    if not errors and not (isinstance(payload.get("source"), str) and payload["source"]):
        errors.append("'payload.source' is missing or blank")
    if not errors and payload.get("severity") not in _SEVERITIES:
        errors.append("'payload.severity' is invalid (must be one of the following: critical, error, warning or info)")
    return errors


def _change_errors(event: Any) -> list[str]:  # noqa: ANN401 (any JSON value)
    """Return what is wrong with a change event."""
    return _common_errors(event) or _payload_errors(event.get("payload"))


def _common_errors(event: Any) -> list[str]:  # noqa: ANN401 (any JSON value)
    if not isinstance(event, dict):
        return ["JSON parse error"]
    if unknown := event.keys() - _KEYS:
        return [f"unknown: {', '.join(sorted(unknown))}"]
    key = event.get("routing_key")
    if not isinstance(key, str) or not re.fullmatch(r"[0-9A-Za-z]{32}", key):
        return ["Length of 'routing_key' is incorrect (should be 32 characters)"]
    if key != ROUTING_KEY:
        return ["Invalid routing key"]
    links = event.get("links", [])
    if not isinstance(links, list) or any(not _is_link(link) for link in links):
        return ["'links' is invalid"]
    return []


def _payload_errors(payload: Any) -> list[str]:  # noqa: ANN401 (any JSON value)
    if not isinstance(payload, dict) or payload.keys() - _PAYLOAD_KEYS:
        return ["'payload' is missing or invalid"]
    summary, details = payload.get("summary"), payload.get("custom_details", {})
    if not isinstance(summary, str) or not 0 < len(summary) <= 1024:
        return ["'payload.summary' is missing, blank or too long"]
    try:
        datetime.fromisoformat(payload.get("timestamp", "2026-01-01T00:00:00Z"))
    except (TypeError, ValueError):
        return ["'payload.timestamp' is invalid"]
    return [] if isinstance(details, dict) else ["'payload.custom_details' is not an object"]


def _is_link(link: Any) -> bool:  # noqa: ANN401 (any JSON value)
    return (
        isinstance(link, dict) and str(link.get("href", "")).startswith("http") and not link.keys() - {"href", "text"}
    )
