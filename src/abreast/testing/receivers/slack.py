"""A channel of Slack behind an incoming webhook. It refuses what Slack refuses, and answers as Slack does.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
https://docs.slack.dev/reference/messaging/attachments
"""

import json
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.fault_injection import FaultInjector

PATH = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
"""The path of the webhook. All of it is a secret."""

MAX_CHARACTERS, MAX_ATTACHMENTS, BURST = 13_200, 100, 5
"""Characters and attachments of a message, and how many messages may come in one second."""

_MESSAGE_KEYS = frozenset(
    {"text", "attachments", "blocks", "mrkdwn", "unfurl_links", "unfurl_media", "thread_ts", "response_type",
     "replace_original", "delete_original", "metadata"}
)  # fmt: skip
_ATTACHMENT_KEYS = frozenset(
    {"color", "fallback", "fields", "footer", "footer_icon", "pretext", "text", "title", "title_link", "ts",
     "author_name", "author_link", "author_icon", "image_url", "thumb_url", "mrkdwn_in", "blocks"}
)  # fmt: skip


class SlackChannel:
    """Serve ``app`` with ``ThreadedServer``. ``messages`` are those that were accepted, in order."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.archived = False
        self._arrivals: list[float] = []
        self.faults = FaultInjector(Starlette(routes=[Route("/{path:path}", self._receive, methods=["POST"])]))
        self.app = self.faults

    async def _receive(self, request: Request) -> Response:
        if request.url.path != PATH:
            return PlainTextResponse("no_service", 404)
        if self.archived:
            return PlainTextResponse("channel_is_archived", 410)
        now = time.monotonic()
        self._arrivals = [moment for moment in self._arrivals if now - moment < 1] + [now]
        if len(self._arrivals) > BURST:
            return PlainTextResponse("rate_limited", 429, {"Retry-After": "1"})
        try:
            message = json.loads(await request.body())
        except ValueError:
            return PlainTextResponse("invalid_payload", 400)
        if problem := message_problem(message):
            return PlainTextResponse(problem, 400)
        self.messages.append(message)
        return PlainTextResponse("ok")


def message_problem(message: Any) -> str:  # noqa: ANN401 (any JSON value)
    """Return Slack's word for what is wrong with a message, "" if nothing is."""
    if not isinstance(message, dict) or message.keys() - _MESSAGE_KEYS:
        return "invalid_payload"
    attachments, text = message.get("attachments", []), message.get("text", "")
    if not isinstance(attachments, list) or not isinstance(text, str):
        return "invalid_payload"
    if not text and not attachments and not message.get("blocks"):
        return "no_text"
    if len(attachments) > MAX_ATTACHMENTS:
        return "too_many_attachments"
    if any(not _is_attachment(attachment) for attachment in attachments):
        return "invalid_attachments"
    return "msg_blocks_too_long" if len(json.dumps(message)) > MAX_CHARACTERS else ""


def _is_attachment(attachment: Any) -> bool:  # noqa: ANN401 (any JSON value)
    if not isinstance(attachment, dict) or attachment.keys() - _ATTACHMENT_KEYS:
        return False
    fields, ts = attachment.get("fields", []), attachment.get("ts", 0)
    return isinstance(fields, list) and isinstance(ts, int) and all(_is_field(field) for field in fields)


def _is_field(field: Any) -> bool:  # noqa: ANN401 (any JSON value)
    if not isinstance(field, dict) or field.keys() - {"title", "value", "short"}:
        return False
    return all(isinstance(field.get(name, ""), str) for name in ("title", "value")) and isinstance(
        field.get("short", False), bool
    )
