"""A channel or chat of Microsoft Teams, by a workflow that takes adaptive cards.

https://learn.microsoft.com/power-automate/teams/teams-app-create and https://adaptivecards.io/explorer/
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.notify.http_post import check_url, post
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    Notifier,
    NotifierContext,
    NotifierPlugin,
    Receipt,
    SentMessages,
)
from abreast.notify.message import Message, fit
from abreast.notify.message_notifier import MessageNotifier, Receiver
from abreast.notify.notification_events import Severity
from abreast.notify.routing import MessageSettings

MAX_BYTES = 27_000
"""Bytes of a message. Teams refuses 28 KB."""

CARD_VERSION = "1.4"

_RETIRED_HOSTS = ("webhook.office.com", "outlook.office.com", "outlook.office365.com")
_COLORS = {
    Severity.INFO: "accent",
    Severity.WARNING: "warning",
    Severity.ERROR: "attention",
    Severity.CRITICAL: "attention",
}


class TeamsSettings(MessageSettings):
    """A channel or chat of Microsoft Teams."""

    webhook: str = Field(
        description="The URL of a workflow with the trigger *When a Teams webhook request is received*, such as "
        "`${TEAMS_WEBHOOK_URL}`. It is a secret: whoever has it can write to the channel."
    )


class Teams(Receiver):
    """Sends cards to one workflow."""

    def __init__(self, webhook: Secret) -> None:
        self._webhook = webhook

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a card. A workflow says that it has accepted it, never that it is shown."""
        del id, sent
        content = json.dumps(teams_message(message)).encode()
        answer = await post("Teams", self._webhook, content, {"content-type": "application/json"})
        if answer.status in {200, 202} and answer.content_type != "text/html":
            return Receipt.ACCEPTED
        if answer.status < 400:
            raise NotificationDelayedError(f"Teams answers {answer.summary}", need="202, not a proxy's answer")
        raise NotificationError(
            f"Teams answers {answer.summary}",
            need="the URL of a workflow that is switched on",
            next="look at the workflow's run history, and set the variable that `notify` names",
        )


def teams_message(message: Message) -> dict[str, Any]:
    """Return the message in the form that a workflow takes, shortened to what Teams takes."""
    return _render(fit(message, lambda shortened: len(json.dumps(_render(shortened))), MAX_BYTES))


def _render(message: Message) -> dict[str, Any]:
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": CARD_VERSION,
        "body": list(_blocks(message)),
    }
    if actions := list(_actions(message)):
        card["actions"] = actions
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    color = "good" if message.event.is_good else _COLORS[message.severity]
    yield _text({"text": message.headline, "weight": "bolder", "size": "medium", "color": color})
    yield from (_pair(service.name.capitalize(), service.text) for service in message.services)
    for failure in message.failures:
        yield _text({"text": failure.text})
        if failure.log:
            yield _text({"text": failure.log, "fontType": "monospace", "size": "small"})
    for section in message.sections:
        yield _text({"text": section.title, "weight": "bolder"})
        yield from (_text({"text": line}) for line in section.lines)
    yield from (_text({"text": line}) for line in message.details)
    yield from (_pair(name, value) for name, value in message.facts)
    if message.next_commands:
        yield _pair("Next", message.next_commands[0], fontType="monospace")


def _pair(name: str, value: str, **style: str) -> dict[str, Any]:
    return _text({"text": f"{name}: ", "weight": "bolder"}, {"text": value, **style})


def _text(*runs: dict[str, str]) -> dict[str, Any]:
    """Return a block of plain runs: unlike a TextBlock, they know no Markdown, so nothing in them makes a link."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _actions(message: Message) -> Iterator[dict[str, Any]]:
    urls = ((message.run_url, "Run"), *((service.url, service.name.capitalize()) for service in message.services))
    for url, text in [pair for pair in urls if pair[0].startswith(("https://", "http://"))][:6]:
        yield {"type": "Action.OpenUrl", "title": text, "url": url}


def _check_workflow(webhook: Secret) -> None:
    """Raise UsageError for the URL of a connector."""
    check_url("Teams", webhook)
    host = urlsplit(webhook.reveal()).hostname or ""
    if any(host == retired or host.endswith(f".{retired}") for retired in _RETIRED_HOSTS):
        raise UsageError(
            "the address of Teams is that of a connector, which Microsoft has retired",
            need="the URL of a workflow, on logic.azure.com or api.powerplatform.com",
            next="in Teams: ⋯ of the channel, Workflows, Send webhook alerts to a channel",
        )


def _create(context: NotifierContext, settings: BaseModel) -> Notifier:
    assert isinstance(settings, TeamsSettings)
    webhook = context.interpolate(settings.webhook)
    _check_workflow(webhook)
    return MessageNotifier(context.name, context.project, settings.route(), Teams(webhook))


PLUGIN = NotifierPlugin(TeamsSettings, _create)
