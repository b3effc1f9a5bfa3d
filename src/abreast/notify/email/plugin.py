"""The settings of e-mail: who gets it, and by which server."""

from collections.abc import Callable
from email.utils import parseaddr

from pydantic import BaseModel, Field

from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.notify.email.mail_server import MailServer
from abreast.notify.interface import Notifier, NotifierContext, NotifierPlugin
from abreast.notify.message_notifier import MessageNotifier
from abreast.notify.notification_events import NotificationEvent
from abreast.notify.routing import MessageSettings, Route


class EmailSettings(MessageSettings):
    """People who get e-mail. The connection to the server is always encrypted."""

    server: str = Field(
        description="The server, such as `${SMTP_URL}` with `smtp://USER:PASSWORD@mail.example.com:587` (STARTTLS) or "
        "`smtps://…:465` (TLS from the beginning). A `%`, `@`, `:` or `/` in a password is written as `%25`, `%40`, "
        "`%3A`, `%2F`."
    )
    sender: str = Field(description="Who it is from, such as `abreast <deployments@example.com>`.")
    to: list[str] = Field(min_length=1, description="Who gets it.")


def create_notifier(context: NotifierContext, settings: BaseModel) -> Notifier:
    """Return the notifier. Raises UsageError for a variable that is not set, or an address that is none."""
    assert isinstance(settings, EmailSettings)
    server, (sender, *recipients) = _server(context, settings), _addresses(context, settings.sender, *settings.to)
    from abreast.notify.email.smtp import MailReceiver  # noqa: PLC0415 (slow, and only deployments need it)

    receiver = MailReceiver(server, sender, tuple(recipients))
    return MessageNotifier(context.name, context.project, settings.route(), receiver)


def create_approver_notifier(
    context: NotifierContext, settings: EmailSettings, address: str, link: Callable[[], Secret]
) -> Notifier:
    """Return the notifier that tells one person that a deployment waits for an approval, with the link of that person.

    ``link`` is called for each mail. Raises UsageError as ``create_notifier``.
    """
    server, (sender,) = _server(context, settings), _addresses(context, settings.sender)
    from abreast.notify.email.smtp import ApproverMail  # noqa: PLC0415 (as above)

    route = Route(events=frozenset({NotificationEvent.APPROVAL}))
    return MessageNotifier(context.name, context.project, route, ApproverMail(server, sender, address, link))


def _server(context: NotifierContext, settings: EmailSettings) -> MailServer:
    return MailServer.parse(context.interpolate(settings.server))


def _addresses(context: NotifierContext, *texts: str) -> list[str]:
    """Return the addresses of abreast.yml. Raises UsageError for one that is none."""
    addresses = [context.interpolate(text).reveal() for text in texts]
    for address in addresses:
        if "@" not in parseaddr(address)[1] or "\n" in address:
            raise UsageError("an address of `notify: {email: …}` is none", need="such as deployments@example.com")
    return addresses


PLUGIN = NotifierPlugin(EmailSettings, create_notifier)
