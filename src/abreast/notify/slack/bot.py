"""A channel of Slack that a bot writes to: one message for each deployment, which is changed in place.

https://docs.slack.dev/reference/methods/chat.postMessage and https://docs.slack.dev/reference/methods/chat.update
"""

import json
from dataclasses import replace
from typing import Any

from abreast.core.secrets import Secret
from abreast.notify.http_post import post
from abreast.notify.interface import NotificationDelayedError, NotificationError, Receipt, SentMessages
from abreast.notify.message import Message
from abreast.notify.message_notifier import Receiver
from abreast.notify.slack.rendering import slack_message

_CANNOT_BE_CHANGED = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})
_LATER = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
     "team_added_to_org"}
)  # fmt: skip


class SlackError(NotificationError):
    """Slack refused. ``code`` is its word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"Slack answers {code}",
            need="a bot token with the scope chat:write, and the id of a channel that the bot is in",
            next="invite the bot to the channel: /invite @NAME",
        )
        self.code = code


class SlackBot(Receiver):
    """Keeps the message of each deployment in one channel."""

    def __init__(self, api: str, token: Secret, channel: str) -> None:
        self._api = api.rstrip("/")
        self._token = token
        self._channel = channel

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Change the deployment's message, or post it if there is none that can be changed."""
        del id
        posted = _posted_messages(sent)
        if posted:
            channel, _, ts = posted[-1].partition(" ")
            try:
                changed = slack_message(replace(message, is_repeat=False))
                await self._call("chat.update", {"channel": channel, "ts": ts, **changed})
                return Receipt.DELIVERED
            except SlackError as error:
                if error.code not in _CANNOT_BE_CHANGED:
                    raise
        answer = await self._call("chat.postMessage", {"channel": self._channel, **slack_message(message)})
        await sent.record(f"message/{len(posted) + 1}", f"{answer['channel']} {answer['ts']}")
        return Receipt.DELIVERED

    async def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {self._token.reveal()}",
        }
        url = Secret("Slack's API", f"{self._api}/{method}")
        answer = await post("Slack", url, json.dumps(arguments).encode(), headers)
        try:
            body = json.loads(answer.text)
        except ValueError:
            body = None
        if answer.status != 200 or not isinstance(body, dict):
            raise NotificationDelayedError(f"Slack answers {answer.summary}", need="JSON of Slack's API")
        if body.get("ok") is True:
            return body
        code = str(body.get("error", "an error without a name"))
        if code in _LATER:
            raise NotificationDelayedError(f"Slack answers {code}")
        raise SlackError(code)


def _posted_messages(sent: SentMessages) -> list[str]:
    """Return where the deployment's messages are, the latest last."""
    posted = list[str]()
    while (place := sent.find(f"message/{len(posted) + 1}")) is not None:
        posted.append(place)
    return posted
