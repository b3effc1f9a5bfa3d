"""E-mail, by SMTP over TLS (RFC 5321, RFC 3207): HTML and plain text in one message."""

import asyncio
import html
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field

from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.secrets import Secret
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.tls import ssl_context
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    Notifier,
    NotifierContext,
    NotifierPlugin,
    Receipt,
    SentMessages,
)
from abreast.notify.message import Message
from abreast.notify.message_notifier import MessageNotifier, PartlyDeliveredError, Receiver
from abreast.notify.notification_events import Severity
from abreast.notify.plain_text import plain_text
from abreast.notify.routing import MessageSettings

if TYPE_CHECKING:
    import aiosmtplib
else:
    aiosmtplib = lazy_module("aiosmtplib")

TIMEOUT = 15.0
"""Seconds for one message, from the connection to its end."""

_GOOD = "#2eb67d"
_COLORS = {
    Severity.INFO: "#439fe0", Severity.WARNING: "#ecb22e", Severity.ERROR: "#e01e5a", Severity.CRITICAL: "#e01e5a"
}  # fmt: skip

PORTS = {"smtp": 587, "smtps": 465}


class EmailSettings(MessageSettings):
    """People who get e-mail. The connection to the server is always encrypted."""

    server: str = Field(
        description="The server, such as `${SMTP_URL}` with `smtp://USER:PASSWORD@mail.example.com:587` (STARTTLS) or "
        "`smtps://…:465` (TLS from the beginning). A `%`, `@`, `:` or `/` in a password is written as `%25`, `%40`, "
        "`%3A`, `%2F`."
    )
    sender: str = Field(description="Who it is from, such as `abreast <deployments@example.com>`.")
    to: list[str] = Field(min_length=1, description="Who gets it.")


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server. ``is_implicit``: TLS from the beginning, not by STARTTLS. ``user`` is "" if it asks for none."""

    host: str
    port: int
    is_implicit: bool
    user: str
    password: Secret

    @classmethod
    def parse(cls, url: Secret) -> "MailServer":
        """Return the server of a URL. Raises UsageError, without quoting it."""
        parts = urlsplit(url.reveal())
        try:
            port = parts.port or PORTS[parts.scheme]
        except (KeyError, ValueError):
            port = 0
        if not port or not parts.hostname:
            need = "smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465"
            raise UsageError("the address of the mail server is not a URL", need=need)
        password = Secret(url.name, unquote(parts.password or ""))
        return cls(parts.hostname, port, parts.scheme == "smtps", unquote(parts.username or ""), password)


class MailReceiver(Receiver):
    """Sends to some people by one server."""

    def __init__(self, server: MailServer, sender: str, recipients: tuple[str, ...]) -> None:
        self._server = server
        self._sender = sender
        self._recipients = recipients

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a message. A server accepts it; nobody says when somebody reads it."""
        del sent
        mail = email_message(message, id, self._sender, self._recipients)
        delivery = _Delivery(self._server)
        where = f"the mail server {self._server.host}"
        try:
            async with asyncio.timeout(TIMEOUT):
                refused = await delivery.run(mail, parseaddr(self._sender)[1], _addresses(self._recipients))
        except (ssl.SSLError, aiosmtplib.SMTPConnectError) as error:
            raise _connection_error(where, error) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _answer_error(where, error.code, error.message) from error
        except (TimeoutError, aiosmtplib.SMTPTimeoutError) as error:
            what = f"{where} does not answer within {TIMEOUT:.0f} s"
            raise NotificationDelayedError(what, is_uncertain=delivery.may_have_sent) from error
        except (aiosmtplib.SMTPServerDisconnected, OSError) as error:
            what = f"{where} ended the connection"
            raise NotificationDelayedError(what, is_uncertain=delivery.may_have_sent) from error
        except aiosmtplib.SMTPException as error:
            raise NotificationError(f"{where}: {_line(str(error))}") from error
        if refused:
            raise PartlyDeliveredError(f"{where} refuses {refused}; the others get it", need="addresses that exist")
        return Receipt.ACCEPTED


class _Delivery:
    """One connection to a server, which takes one message. ``may_have_sent``: its content was on the way."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self.may_have_sent = False

    async def run(self, mail: EmailMessage, sender: str, recipients: Sequence[str]) -> str:
        """Send the message; return which recipients the server refuses, if it takes others, and why."""
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host, port=server.port, use_tls=server.is_implicit, start_tls=False,
            tls_context=ssl_context(), timeout=TIMEOUT,
        )  # fmt: skip
        await client.connect()
        try:
            if not server.is_implicit:
                await _encrypt(client, server)
            if server.user:
                await client.login(server.user, server.password.reveal())
            await client.mail(sender)
            refusals = [refusal for address in recipients if (refusal := await _refusal(client, address))]
            if len(refusals) == len(recipients):
                raise aiosmtplib.SMTPResponseException(refusals[0].code, refusals[0].message)
            self.may_have_sent = True
            await client.data(mail.as_bytes(policy=SMTP))
            with suppress(aiosmtplib.SMTPException):
                await client.execute_command(b"QUIT")
        finally:
            await _drop(client)
        return "; ".join(f"{refusal.recipient}: {refusal.code} {_line(refusal.message)}" for refusal in refusals)


async def _drop(client: "aiosmtplib.SMTP") -> None:
    """End the connection at once, if it still is one: the end of TLS would be waited for."""
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()
    await asyncio.sleep(0)


async def _encrypt(client: "aiosmtplib.SMTP", server: MailServer) -> None:
    """Begin TLS. Raises NotificationError if the server has none: nothing is sent then, no password either."""
    await client.ehlo()
    if not client.supports_extension("starttls"):
        raise NotificationError(
            f"the mail server {server.host} offers no TLS on port {server.port}",
            need="STARTTLS there, or TLS from the beginning: smtps://…:465",
        )
    await client.starttls(tls_context=ssl_context())


async def _refusal(client: "aiosmtplib.SMTP", address: str) -> "aiosmtplib.SMTPRecipientRefused | None":
    try:
        await client.rcpt(address)
    except aiosmtplib.SMTPRecipientRefused as error:
        return error
    return None


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


def _connection_error(where: str, error: Exception) -> NotificationError:
    """Return the error of a connection that was not made: for good, if the certificate is not trusted."""
    causes = (error, error.__cause__, error.__context__)
    if found := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        reason = getattr(found, "verify_message", "") or found.reason or type(found).__name__
        return NotificationError(f"{where} is not trusted: {reason}", need="a certificate that this machine trusts")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _answer_error(where, error.code, error.message)
    return NotificationDelayedError(f"{where} cannot be reached")


def _answer_error(where: str, code: int, message: str) -> NotificationError:
    """Return the error of an answer: 4xx is for now, 5xx for good (RFC 5321, 4.2.1)."""
    what = f"{where} answers {code} {_line(message)}"
    if 400 <= code < 500:
        return NotificationDelayedError(what)
    need = "the right user and password" if code in {530, 534, 535} else "a sender and recipients that it takes"
    return NotificationError(what, need=need)


def _addresses(recipients: Sequence[str]) -> list[str]:
    return [parseaddr(recipient)[1] for recipient in recipients]


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _create(context: NotifierContext, settings: BaseModel) -> Notifier:
    assert isinstance(settings, EmailSettings)
    server = MailServer.parse(context.interpolate(settings.server))
    sender, *recipients = (context.interpolate(text).reveal() for text in (settings.sender, *settings.to))
    for address in (sender, *recipients):
        if "@" not in parseaddr(address)[1] or "\n" in address:
            raise UsageError("an address of `notify: {email: …}` is none", need="such as deployments@example.com")
    receiver = MailReceiver(server, sender, tuple(recipients))
    return MessageNotifier(context.name, context.project, settings.route(), receiver)


PLUGIN = NotifierPlugin(EmailSettings, _create)
