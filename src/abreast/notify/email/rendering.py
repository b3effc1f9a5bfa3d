"""A message as e-mail: HTML and plain text in one."""

import html
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from abreast.notify.message import Message
from abreast.notify.notification_events import Severity
from abreast.notify.plain_text import plain_text

_GOOD = "#2eb67d"
_COLORS = {
    Severity.INFO: "#439fe0", Severity.WARNING: "#ecb22e", Severity.ERROR: "#e01e5a", Severity.CRITICAL: "#e01e5a"
}  # fmt: skip


def email_message(message: Message, id: str, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Return the message as e-mail. Those of one deployment are one conversation."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    mail["Subject"] = message.headline
    mail["Date"] = format_datetime(datetime.fromisoformat(message.at))
    mail["Message-ID"] = f"<{id}@{domain}>"
    if message.deployment:
        mail["References"] = f"<{message.deployment.lower()}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{message.headline}\n\n{plain_text(message)}\n")
    mail.add_alternative("".join(_html(message)), subtype="html")
    return mail


def _html(message: Message) -> Iterator[str]:
    color = _GOOD if message.event.is_good else _COLORS[message.severity]
    style = f"border-left:4px solid {color};padding-left:12px"
    yield f'<!doctype html><html><body style="font-family:sans-serif"><div style="{style}">'
    yield f"<h2>{html.escape(message.headline)}</h2>"
    rows = [(service.name.capitalize(), service.text, service.url) for service in message.services]
    rows += [(name, value, value if value.startswith(("https://", "http://")) else "") for name, value in message.facts]
    yield f'<table cellpadding="4">{"".join(_row(*row) for row in rows)}</table>' if rows else ""
    yield from (f"<p>{html.escape(line)}</p>" for line in message.details)
    for failure in message.failures:
        yield f"<p><b>{html.escape(failure.text)}</b></p>"
        yield f"<pre>{html.escape(failure.log)}</pre>" if failure.log else ""
    yield f"<p>Next: <code>{html.escape(message.next_commands[0])}</code></p>" if message.next_commands else ""
    yield "</div></body></html>"


def _row(name: str, value: str, url: str) -> str:
    text = html.escape(value)
    if url:
        link = html.escape(url)
        text = f'<a href="{link}">{link}</a>' if url == value else f'{text} <a href="{link}">{link}</a>'
    return f'<tr><th align="left">{html.escape(name)}</th><td>{text}</td></tr>'
