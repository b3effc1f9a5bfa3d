"""The part of Slack's Web API that a bot writes with. It refuses what Slack refuses, and answers as Slack does.

https://docs.slack.dev/reference/methods/chat.postMessage and https://docs.slack.dev/reference/methods/chat.update
"""

import json
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.receivers.slack import BURST, message_problem

TOKEN = "xoxb-000000000000-0000000000000-slackEmulatorBotToken"  # noqa: S105 (of an emulator)
CHANNEL = "C0123456789"

Method = Callable[[dict[str, Any]], str]
"""Takes a call's arguments; returns Slack's word for what is wrong, "" if nothing is."""

_ARGUMENTS = frozenset({"channel", "ts", "token"})


class SlackWorkspace:
    """Serve ``app`` with ``ThreadedServer``; its API is at ``/api``. The bot is in one channel.

    ``messages`` maps the ``ts`` of each message to what it says now, ``history`` lists all that was said.
    """

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[str, dict[str, Any]]] = []
        self.is_editable = True
        self._arrivals: list[float] = []
        self.faults = FaultInjector(Starlette(routes=[Route("/api/{method}", self._call, methods=["POST"])]))
        self.app = self.faults

    async def _call(self, request: Request) -> Response:
        methods: dict[str, Method] = {"chat.postMessage": self._post, "chat.update": self._update}
        method = methods.get(request.path_params["method"])
        if method is None:
            return _answer("unknown_method")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _answer("invalid_auth" if request.headers.get("authorization") else "not_authed")
        now = time.monotonic()
        self._arrivals = [moment for moment in self._arrivals if now - moment < 1] + [now]
        if len(self._arrivals) > BURST:
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "1"})
        arguments = await _arguments(request)
        if arguments is None:
            return _answer("invalid_json")
        if arguments.get("channel") != CHANNEL:
            return _answer("channel_not_found")
        if problem := message_problem({key: value for key, value in arguments.items() if key not in _ARGUMENTS}):
            return _answer({"invalid_payload": "invalid_arguments"}.get(problem, problem))
        return self._said(arguments, method(arguments))

    def _post(self, arguments: dict[str, Any]) -> str:
        if "ts" in arguments:
            return "invalid_arguments"
        arguments["ts"] = f"{1_700_000_000 + len(self.history)}.000100"
        return ""

    def _update(self, arguments: dict[str, Any]) -> str:
        if arguments.get("ts") not in self.messages:
            return "message_not_found"
        return "" if self.is_editable else "edit_window_closed"

    def _said(self, arguments: dict[str, Any], problem: str) -> Response:
        if problem:
            return _answer(problem)
        message = {key: value for key, value in arguments.items() if key not in _ARGUMENTS}
        self.messages[arguments["ts"]] = message
        self.history.append((arguments["ts"], message))
        return JSONResponse({"ok": True, "channel": CHANNEL, "ts": arguments["ts"], "message": message})


async def _arguments(request: Request) -> dict[str, Any] | None:
    """Return the arguments of a call, which Slack takes as JSON or as a form whose lists are JSON."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = json.loads(await request.body())
        except ValueError:
            return None
        return body if isinstance(body, dict) else None
    form = {key: str(value) for key, value in (await request.form()).items()}
    return {key: json.loads(value) if key in {"attachments", "blocks"} else value for key, value in form.items()}


def _answer(error: str) -> Response:
    return JSONResponse({"ok": False, "error": error})
