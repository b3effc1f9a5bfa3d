"""Everything that Apprise knows: more than a hundred services, each by a URL (https://appriseit.com).

Apprise is an extra, ``abreast[apprise]``, and is imported when something is sent.
"""

import asyncio
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.machine.lazy_modules import lazy_module
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
from abreast.notify.message_notifier import MessageNotifier, Receiver
from abreast.notify.notification_events import Severity
from abreast.notify.plain_text import plain_text
from abreast.notify.routing import MessageSettings

if TYPE_CHECKING:
    import apprise
else:
    apprise = lazy_module("apprise")

TIMEOUT = 15.0
"""Seconds for one message."""

_TYPES = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "failure",
    Severity.CRITICAL: "failure",
}


class AppriseSettings(MessageSettings):
    """A service that Apprise knows. Needs `pip install 'abreast[apprise]'`."""

    url: str = Field(
        description="Its URL, such as `${TELEGRAM_URL}` with `tgram://TOKEN/CHAT` (https://appriseit.com). It is "
        "a secret."
    )


class AppriseService(Receiver):
    """Sends to one URL of Apprise."""

    def __init__(self, url: Secret) -> None:
        self._url = url

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a message. Apprise says that the service has accepted it, or only that it has not."""
        del id, sent
        service = await asyncio.to_thread(self._connect)
        kind = "success" if message.event.is_good else _TYPES[message.severity]
        try:
            async with asyncio.timeout(TIMEOUT):
                is_accepted = await service.async_notify(
                    body=plain_text(message), title=message.headline, notify_type=kind, body_format="text"
                )
        except TimeoutError as error:
            what = f"the service of Apprise does not answer within {TIMEOUT:.0f} s"
            raise NotificationDelayedError(what, is_uncertain=True) from error
        if not is_accepted:
            raise NotificationDelayedError("the service of Apprise did not accept it", is_uncertain=True)
        return Receipt.ACCEPTED

    def _connect(self) -> "apprise.Apprise":
        """Return Apprise with its one service. Raises NotificationError if it knows none of this URL."""
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would write to standard error, unredacted
        service = apprise.Apprise()
        if not service.add(self._url.reveal()):
            raise NotificationError("Apprise knows no service of this URL", need="a URL as https://appriseit.com says")
        return service


def _create(context: NotifierContext, settings: BaseModel) -> Notifier:
    assert isinstance(settings, AppriseSettings)
    if find_spec("apprise") is None:
        raise UsageError("Apprise is not installed", need="abreast[apprise]", next="pip install 'abreast[apprise]'")
    receiver = AppriseService(context.interpolate(settings.url))
    return MessageNotifier(context.name, context.project, settings.route(), receiver)


PLUGIN = NotifierPlugin(AppriseSettings, _create)
