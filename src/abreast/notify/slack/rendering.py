"""A message as Slack shows it: a text, and an attachment with a colour and fields.

https://docs.slack.dev/reference/messaging/attachments
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from abreast.notify.message import FailureReport, Message, ServiceStatus, fit
from abreast.notify.notification_events import Severity

MAX_CHARACTERS = 12_000
"""Characters of a whole message. Slack refuses some 13,200."""

_COLORS = {Severity.INFO: "#439FE0", Severity.WARNING: "warning", Severity.ERROR: "danger", Severity.CRITICAL: "danger"}


def slack_message(message: Message) -> dict[str, Any]:
    """Return the message in Slack's form, shortened to what Slack takes."""
    return _render(fit(message, lambda shortened: len(json.dumps(_render(shortened))), MAX_CHARACTERS))


def _render(message: Message) -> dict[str, Any]:
    text = _escape(message.headline)
    color = "good" if message.event.is_good else _COLORS[message.severity]
    moment = int(datetime.fromisoformat(message.at).timestamp())
    attachment = {"color": color, "fallback": text, "fields": list(_fields(message)), "ts": moment}
    return {"text": text, "attachments": [attachment]}


def _fields(message: Message) -> Iterator[dict[str, Any]]:
    yield from (_field(service.name.capitalize(), _service_text(service)) for service in message.services)
    yield from (_field("Failed", _failure_text(failure), short=False) for failure in message.failures)
    yield from (_field(section.title, "\n".join(section.lines), short=False) for section in message.sections)
    if message.details:
        yield _field("Deployments", "\n".join(message.details), short=False)
    yield from (_field(name, value, short=name in {"By", "Reason"}) for name, value in message.facts)
    if message.next_commands:
        yield _field("Next", message.next_commands[0], short=False)


def _service_text(service: ServiceStatus) -> str:
    return f"{service.text} {service.url}".rstrip()


def _failure_text(failure: FailureReport) -> str:
    text, log = _fenceless(failure.text), _fenceless(failure.log)
    return f"{text}\n```{log}```" if log else text


def _fenceless(text: str) -> str:
    """Return the text without what would begin or end a block of code."""
    return text.replace("```", "'''")


def _field(title: str, value: str, *, short: bool = True) -> dict[str, Any]:
    return {"title": _escape(title), "value": _escape(value), "short": short}


def _escape(text: str) -> str:
    """Return the text as Slack shows it: nothing in it mentions a channel or makes a link.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
