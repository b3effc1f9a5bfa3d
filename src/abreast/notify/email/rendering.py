"""A message as e-mail: HTML and plain text in one."""

import html
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from abreast.core.secrets import Secret
from abreast.notify.message import Message
from abreast.notify.notification_events import Severity
from abreast.notify.plain_text import plain_text

_OWN_LINK = "The link is yours alone: whoever has it decides in your name. It counts once."
_WEB = ("https://", "http://")
_GOOD = "#2eb67d"
_COLORS = {
    Severity.INFO: "#439fe0", Severity.WARNING: "#ecb22e", Severity.ERROR: "#e01e5a", Severity.CRITICAL: "#e01e5a"
}  # fmt: skip


def email_message(
    message: Message, id: str, sender: str, recipients: Sequence[str], link: Secret | None = None
) -> EmailMessage:
    """Return the message as e-mail. Those of one deployment are one conversation.

    ``link`` is the one by which its only recipient approves or rejects. To open it does neither.
    """
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    mail["Subject"] = message.headline
    mail["Date"] = format_datetime(datetime.fromisoformat(message.at))
    mail["Message-ID"] = f"<{id}@{domain}>"
    if message.deployment:
        mail["References"] = f"<{message.deployment.lower()}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    ways = _ways(message, link.reveal()) if link else []
    added = "".join(f"\n{what}:\n    {command}\n" for what, command in ways) + (f"\n{_OWN_LINK}\n" if ways else "")
    mail.set_content(f"{message.headline}\n\n{plain_text(message)}\n{added}")
    mail.add_alternative("".join(_html(message, ways)), subtype="html")
    return mail


def _ways(message: Message, link: str) -> list[tuple[str, str]]:
    """Return what the holder of a link can do with it, and how."""
    where = f"in any clone of {message.project}"
    commands = [
        (f"To approve it, {where}", f"abreast approve '{link}'"),
        (f"To reject it, {where}", f"abreast reject '{link}' --reason …"),
    ]
    page = [("To read it and decide", link)] if link.startswith(_WEB) else []
    return [*page, *commands]


def _html(message: Message, ways: Sequence[tuple[str, str]]) -> Iterator[str]:
    color = _GOOD if message.event.is_good else _COLORS[message.severity]
    style = f"border-left:4px solid {color};padding-left:12px"
    yield f'<!doctype html><html><body style="font-family:sans-serif"><div style="{style}">'
    yield f"<h2>{html.escape(message.headline)}</h2>"
    rows = [(service.name.capitalize(), service.text, service.url) for service in message.services]
    rows += [(name, value, value if value.startswith(_WEB) else "") for name, value in message.facts]
    yield f'<table cellpadding="4">{"".join(_row(*row) for row in rows)}</table>' if rows else ""
    for section in message.sections:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in section.lines)
        yield f"<p><b>{html.escape(section.title)}</b></p><ul>{lines}</ul>"
    yield from (f"<p>{html.escape(line)}</p>" for line in message.details)
    for failure in message.failures:
        yield f"<p><b>{html.escape(failure.text)}</b></p>"
        yield f"<pre>{html.escape(failure.log)}</pre>" if failure.log else ""
    yield f"<p>Next: <code>{html.escape(message.next_commands[0])}</code></p>" if message.next_commands else ""
    yield from (f"<p>{html.escape(what)}:</p>{_command(text)}" for what, text in ways)
    yield f"<p>{html.escape(_OWN_LINK)}</p>" if ways else ""
    yield "</div></body></html>"


def _command(text: str) -> str:
    shown = html.escape(text)
    return f'<p><a href="{shown}">{shown}</a></p>' if text.startswith(_WEB) else f"<pre>{shown}</pre>"


def _row(name: str, value: str, url: str) -> str:
    text = html.escape(value)
    if url:
        link = html.escape(url)
        text = f'<a href="{link}">{link}</a>' if url == value else f'{text} <a href="{link}">{link}</a>'
    return f'<tr><th align="left">{html.escape(name)}</th><td>{text}</td></tr>'
