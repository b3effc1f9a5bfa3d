"""The settings of a channel of Slack, and how it is reached: by a webhook, or by a bot's token."""

from typing import Self

from pydantic import BaseModel, Field, model_validator

from abreast.notify.http_post import check_url
from abreast.notify.interface import Notifier, NotifierContext, NotifierPlugin
from abreast.notify.message_notifier import MessageNotifier, Receiver
from abreast.notify.routing import MessageSettings


class SlackSettings(MessageSettings):
    """A channel of Slack. With `webhook` it gets a message for each event, with `token` one for each deployment."""

    webhook: str | None = Field(
        None,
        description="The URL of an incoming webhook, such as `${SLACK_WEBHOOK_URL}`. It is a secret: whoever has it "
        "can write to the channel.",
    )
    token: str | None = Field(
        None,
        description="Instead of `webhook`: the token of a bot with the scope `chat:write`, such as "
        "`${SLACK_BOT_TOKEN}`. Its message is changed in place.",
    )
    channel: str | None = Field(None, description="With `token`: the channel's id, such as `C0123456789`.")
    api: str = Field("https://slack.com/api", description="With `token`: where Slack's API is.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.webhook) == bool(self.token):
            raise ValueError("expected `webhook`, or `token` and `channel`")
        if bool(self.token) != bool(self.channel):
            raise ValueError("expected `token` and `channel` together")
        return self


def create_notifier(context: NotifierContext, settings: BaseModel) -> Notifier:
    """Return the notifier. Raises UsageError for a variable that is not set, or an address that is none."""
    assert isinstance(settings, SlackSettings)
    return MessageNotifier(context.name, context.project, settings.route(), _receiver(context, settings))


def _receiver(context: NotifierContext, settings: SlackSettings) -> Receiver:
    if settings.token and settings.channel:
        from abreast.notify.slack.bot import SlackBot  # noqa: PLC0415 (most use a webhook)

        channel = context.interpolate(settings.channel).reveal()
        return SlackBot(settings.api, context.interpolate(settings.token), channel)
    from abreast.notify.slack.webhook import SlackWebhook  # noqa: PLC0415 (as above)

    webhook = context.interpolate(settings.webhook or "")
    check_url("Slack", webhook)
    return SlackWebhook(webhook)


PLUGIN = NotifierPlugin(SlackSettings, create_notifier)
