"""Slack, by an incoming webhook: one message when a deployment starts, one when it ends.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from abreast.core.model import DeploymentKind, ServicePlan
from abreast.core.secrets import Secret
from abreast.core.states import DeploymentState
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.tls import ssl_context
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    Notifier,
    NotifierContext,
    NotifierPlugin,
    SentMessages,
    Snapshot,
)

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")

TIMEOUT = 10.0
"""Seconds for one message."""

MAX_LOG_LINES, MAX_LOG_CHARACTERS, MAX_FIELD = 12, 2500, 300
"""Lines and characters of a failed command's output, and characters of a field, in one message."""

_STARTS = {
    DeploymentKind.DEPLOY: "Deploying {release} to {environment}",
    DeploymentKind.ROLLBACK: "Rolling {environment} back to {release}",
}
_OTHER_START = "{kind} in {environment} ({release})"
_ENDS = {
    DeploymentState.SUCCEEDED: ("good", "is live in"),
    DeploymentState.TURNED_BACK: ("danger", "failed and was turned back in"),
    DeploymentState.CANCELLED: ("warning", "was cancelled in"),
    DeploymentState.STUCK: ("danger", "failed and is NOT fully turned back: a person is needed in"),
}


class SlackSettings(BaseModel):
    """A channel of Slack that is told when deployments start and end."""

    model_config = ConfigDict(extra="forbid", strict=True)

    webhook: str = Field(
        description="The URL of an incoming webhook, such as `${SLACK_WEBHOOK_URL}`. It is a secret: whoever has it "
        "can write to the channel."
    )


class SlackNotifier(Notifier):
    """Sends each message once, to the channel of one webhook."""

    name = "slack"

    def __init__(self, webhook: Secret) -> None:
        self._webhook = webhook

    async def notify(self, snapshot: Snapshot, sent: SentMessages) -> None:
        """Send what has begun or ended and was not sent."""
        if sent.find("started") is None and not snapshot.state.is_final:
            await self._send(started_message(snapshot))
            await sent.record("started")
        key = f"ended/{snapshot.state}"
        if snapshot.state in _ENDS and sent.find(key) is None:
            await self._send(ended_message(snapshot))
            await sent.record(key)

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT, verify=ssl_context()) as client:
                answer = await client.post(self._webhook.reveal(), json=message)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            why = type(error).__name__
            raise NotificationDelayedError(f"Slack does not answer: {why}", need="its answer `ok`") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            pause = answer.headers.get("retry-after", "")
            what = f"Slack answers {answer.status_code}"
            raise NotificationDelayedError(what, retry_after=float(pause) if pause.isdecimal() else 1.0)
        if answer.status_code != 200:
            raise NotificationError(
                f"Slack answers {answer.status_code} {answer.text[:100]}",
                need="the URL of an incoming webhook that is still installed",
                next="make one at https://api.slack.com/apps, and set the variable that `notify: {slack: …}` names",
            )


def started_message(snapshot: Snapshot) -> dict[str, Any]:
    """Return the message that a deployment starts."""
    plan = snapshot.plan
    title = _STARTS.get(plan.kind, _OTHER_START).format(
        kind=plan.kind.capitalize(), release=plan.release, environment=plan.environment
    )
    fields = [_field(part.name.capitalize(), f"to {part.service.platform}") for part in plan.rollouts]
    return _message(snapshot, title, "#439FE0", fields)


def ended_message(snapshot: Snapshot) -> dict[str, Any]:
    """Return the message that a deployment ended, with the output of what failed."""
    plan, (color, end) = snapshot.plan, _ENDS[snapshot.state]
    title = f"{plan.release} {end} {plan.environment}{_duration(snapshot)}"
    fields = [_field(part.name.capitalize(), _part_text(snapshot, part)) for part in plan.traffic_changes]
    fields += [_field("Failed", text, short=False) for text in _failure_texts(snapshot)]
    if snapshot.state is not DeploymentState.SUCCEEDED:
        fields.append(_field("Next", f"abreast logs {plan.deployment}", short=False))
    return _message(snapshot, title, color, fields)


def _message(snapshot: Snapshot, title: str, color: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    plan = snapshot.plan
    commit = _field("Commit", f"{plan.commit[:7]} {snapshot.subject}", short=False)
    who = [_field("By", plan.author)] if plan.author else []
    why = [_field("Reason", plan.reason)] if plan.reason else []
    where = [_field("Run", plan.run_url, short=False)] if plan.run_url else []
    moment = datetime.fromisoformat(snapshot.finished or snapshot.started)
    text = _escape(f"{plan.project}: {title}")
    told = [*fields, commit, *who, *why, *where]
    attachment = {"color": color, "fallback": text, "fields": told, "ts": int(moment.timestamp())}
    return {"text": text, "attachments": [attachment]}


def _part_text(snapshot: Snapshot, part: ServicePlan) -> str:
    """Return what users reach of a service now, by what the ledger says is live."""
    live, platform = snapshot.live.get(part.name), part.service.platform.capitalize()
    if live is None:
        return f"not on {platform}"
    if live.deployment == snapshot.plan.deployment:
        return f"✅ Deployed to {platform} {live.version.url}".rstrip()
    return f"↩ {live.release} stays on {platform}" if part in snapshot.plan.rollouts else f"still on {platform}"


def _failure_texts(snapshot: Snapshot) -> Iterator[str]:
    """Yield what failed, and the last lines of its output."""
    for event in snapshot.failures[:3]:
        log = event.data.get("log", ())
        lines = [str(line) for line in log] if isinstance(log, list | tuple) else []
        text = _fenceless(f"{event.service or 'deployment'}, {event.chapter}: {event.message}")[:MAX_FIELD]
        output = _fenceless("\n".join(lines[-MAX_LOG_LINES:]))[-MAX_LOG_CHARACTERS:]
        yield f"{text}\n```{output}```" if output else text


def _fenceless(text: str) -> str:
    """Return the text without what would begin or end a block of code."""
    return text.replace("```", "'''")


def _duration(snapshot: Snapshot) -> str:
    if snapshot.finished is None:
        return ""
    took = datetime.fromisoformat(snapshot.finished) - datetime.fromisoformat(snapshot.started)
    minutes, seconds = divmod(max(0, round(took.total_seconds())), 60)
    return f" after {minutes} min {seconds} s" if minutes else f" after {seconds} s"


def _field(title: str, value: str, *, short: bool = True) -> dict[str, Any]:
    limit = MAX_FIELD if short else MAX_FIELD + MAX_LOG_CHARACTERS
    return {"title": title, "value": _escape(value[:limit]), "short": short}


def _escape(text: str) -> str:
    """Return the text as Slack shows it: nothing in it mentions a channel or makes a link.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _create(context: NotifierContext, settings: BaseModel) -> Notifier:
    assert isinstance(settings, SlackSettings)
    return SlackNotifier(context.interpolate(settings.webhook))


PLUGIN = NotifierPlugin(SlackSettings, _create)
