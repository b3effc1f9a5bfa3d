"""A webhook of your own: JSON, signed as Standard Webhooks says, so that published libraries verify it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from abreast.core.codec import dump
from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.notify.http_post import check_url, post
from abreast.notify.interface import NotificationError, Notifier, NotifierContext, NotifierPlugin, Receipt, SentMessages
from abreast.notify.message import Message
from abreast.notify.message_notifier import MessageNotifier, Receiver
from abreast.notify.routing import MessageSettings

SECRET_PREFIX = "whsec_"  # noqa: S105 (of secrets)
MIN_SECRET, MAX_SECRET = 24, 64
"""Bytes of a secret."""


class WebhookSettings(MessageSettings):
    """An address of your own that gets each event as signed JSON."""

    url: str = Field(description="Where to send it, such as `${DEPLOY_WEBHOOK_URL}`. It counts as a secret.")
    secret: str = Field(
        description="What the signature is made with, such as `${DEPLOY_WEBHOOK_SECRET}`: `whsec_` and 24 to 64 bytes "
        "in base64. `echo whsec_$(openssl rand -base64 32)` makes one."
    )


class Webhook(Receiver):
    """Posts to one address. ``clock`` returns seconds since 1970."""

    is_idempotent: ClassVar[bool] = True
    """By its `webhook-id`, as the specification asks of receivers."""

    def __init__(self, url: Secret, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._key = key
        self._clock = clock

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send a message; 202 says that the receiver has only accepted it."""
        del sent
        content = json.dumps(webhook_event(message), ensure_ascii=False).encode()
        number, moment = f"msg_{id}", str(int(self._clock()))
        headers = {
            "content-type": "application/json",
            "webhook-id": number,
            "webhook-timestamp": moment,
            "webhook-signature": signature(self._key, number, moment, content),
        }
        answer = await post("the webhook", self._url, content, headers)
        if answer.status >= 400:
            raise NotificationError(f"the webhook answers {answer.summary}", need="an answer from 200 to 299")
        return Receipt.ACCEPTED if answer.status == 202 else Receipt.DELIVERED


def signature(key: bytes, id: str, timestamp: str, content: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = f"{id}.{timestamp}.".encode() + content
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def webhook_event(message: Message) -> dict[str, Any]:
    """Return what a webhook gets: ``type``, ``timestamp`` and ``data``."""
    topic = "deployment" if message.deployment else "environment" if message.environment else "abreast"
    return {
        "type": f"{topic}.{message.event}",
        "timestamp": message.at,
        "data": {
            "project": message.project,
            "environment": message.environment,
            "severity": message.severity.value,
            "text": message.headline,
            "deployment": message.deployment,
            "kind": message.kind and message.kind.value,
            "release": message.release,
            "commit": message.commit,
            "subject": message.subject,
            "author": message.author,
            "reason": message.reason,
            "duration": message.duration,
            "services": [{"name": each.name, "text": each.text, "url": each.url} for each in message.services],
            "failures": [{"text": failure.text, "log": failure.log} for failure in message.failures],
            "details": list(message.details),
            "run_url": message.run_url,
            "next_commands": list(message.next_commands),
            "approval": message.request and {**dump(message.request), "missing": message.request.missing},
        },
    }


def read_key(secret: Secret) -> bytes:
    """Return the bytes of a secret. Raises UsageError, without quoting it, if it is none."""
    text = secret.reveal().removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if not MIN_SECRET <= len(key) <= MAX_SECRET:
        raise UsageError(
            "the secret of the webhook is none",
            need=f"{SECRET_PREFIX} and {MIN_SECRET} to {MAX_SECRET} bytes in base64",
            next="echo whsec_$(openssl rand -base64 32)",
        )
    return key


def _create(context: NotifierContext, settings: BaseModel) -> Notifier:
    assert isinstance(settings, WebhookSettings)
    url = context.interpolate(settings.url)
    check_url("the webhook", url)
    receiver = Webhook(url, read_key(context.interpolate(settings.secret)))
    return MessageNotifier(context.name, context.project, settings.route(), receiver)


PLUGIN = NotifierPlugin(WebhookSettings, _create)
