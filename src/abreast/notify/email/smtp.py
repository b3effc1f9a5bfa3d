"""E-mail, by SMTP over TLS (RFC 5321, RFC 3207)."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import TYPE_CHECKING

from abreast.core.secrets import Secret
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.tls import ssl_context
from abreast.notify.email.mail_server import MailServer
from abreast.notify.email.rendering import email_message
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    Receipt,
    SentMessages,
)
from abreast.notify.message import Message
from abreast.notify.message_notifier import PartlyDeliveredError, Receiver

if TYPE_CHECKING:
    import aiosmtplib
else:
    aiosmtplib = lazy_module("aiosmtplib")

TIMEOUT = 15.0
"""Seconds for one message, from the connection to its end."""


class MailReceiver(Receiver):
    """Sends to some people by one server."""

    def __init__(self, server: MailServer, sender: str, recipients: tuple[str, ...]) -> None:
        self._server = server
        self._sender = sender
        self._recipients = recipients

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a message. A server accepts it; nobody says when somebody reads it."""
        del sent
        mail = await self._compose(message, id)
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

    async def _compose(self, message: Message, id: str) -> EmailMessage:
        return email_message(message, id, self._sender, self._recipients)


class ApproverMail(MailReceiver):
    """Sends to one person, each mail with that person's own link."""

    def __init__(self, server: MailServer, sender: str, address: str, link: Callable[[], Secret]) -> None:
        super().__init__(server, sender, (address,))
        self._link = link

    async def _compose(self, message: Message, id: str) -> EmailMessage:
        link = await asyncio.to_thread(self._link)
        return email_message(message, id, self._sender, self._recipients, link)


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
