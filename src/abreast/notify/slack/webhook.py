"""A channel of Slack behind an incoming webhook: it only takes new messages.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import json

from abreast.core.secrets import Secret
from abreast.notify.http_post import post
from abreast.notify.interface import NotificationDelayedError, NotificationError, Receipt, SentMessages
from abreast.notify.message import Message
from abreast.notify.message_notifier import Receiver
from abreast.notify.slack.rendering import slack_message


class SlackWebhook(Receiver):
    """Sends messages to the channel of one webhook."""

    def __init__(self, webhook: Secret) -> None:
        self._webhook = webhook

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a message. Slack's `ok` says that it is in the channel."""
        del id, sent
        content = json.dumps(slack_message(message)).encode()
        answer = await post("Slack", self._webhook, content, {"content-type": "application/json"})
        if answer.status == 200 and answer.text.strip() == "ok":
            return Receipt.DELIVERED
        if answer.status == 200:
            raise NotificationDelayedError(f"Slack answers {answer.summary}", need="its answer `ok`, not a proxy's")
        raise NotificationError(
            f"Slack answers {answer.summary}",
            need="the URL of an incoming webhook that is still installed",
            next="make one at https://api.slack.com/apps, and set the variable that `notify` names",
        )
