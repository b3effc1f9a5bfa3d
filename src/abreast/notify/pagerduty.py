"""PagerDuty: a change event for each deployment, and an alert while something of an environment has failed.

https://developer.pagerduty.com/docs/events-api-v2-overview
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, Field

from abreast.core.plan import DeploymentKind
from abreast.core.secrets import Secret
from abreast.notify.http_post import post
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
from abreast.notify.notification_events import NotificationEvent
from abreast.notify.routing import DEFAULT_EVENTS, Route, RouteSettings

MAX_SUMMARY, MAX_DEDUP_KEY = 1024, 255
"""Characters of a summary and of a key."""

_CHANGING = frozenset(DeploymentKind) - {DeploymentKind.REHEARSE, DeploymentKind.DRILL}
_ENDS = frozenset(
    {
        NotificationEvent.SUCCEEDED,
        NotificationEvent.TURNED_BACK,
        NotificationEvent.CANCELLED,
        NotificationEvent.STUCK,
    }
)
_ENDING = frozenset(
    {
        NotificationEvent.RECOVERED,
        NotificationEvent.BACKUP_RESUMED,
        NotificationEvent.INCIDENT_RESOLVED,
        NotificationEvent.INCIDENT_CLOSED,
    }
)
"""What says that something is over, though no deployment succeeded."""
_NEWS = DEFAULT_EVENTS - {NotificationEvent.STARTED, NotificationEvent.APPROVAL}


class PagerDutySettings(RouteSettings):
    """A service of PagerDuty. Its alerts are for failures; a success or a recovery resolves them."""

    routing_key: str = Field(
        description="The key of an integration of the kind Events API v2, such as `${PAGERDUTY_ROUTING_KEY}`."
    )
    environments: list[str] = Field(default=["production"], description="Only these environments.")
    severity: Literal["info", "warning", "error", "critical"] = Field(
        "error", description="Alert about events that are so grave, or graver."
    )
    changes: bool = Field(True, description="Whether each deployment is a change event, which alerts nobody.")
    api: str = Field(
        "https://events.pagerduty.com", description="Where PagerDuty is; in the EU `https://events.eu.pagerduty.com`."
    )


class PagerDuty(Receiver):
    """Sends to one integration. ``alerts`` says which events trigger."""

    def __init__(self, api: str, routing_key: Secret, alerts: Route, *, changes: bool) -> None:
        self._api = api.rstrip("/")
        self._routing_key = routing_key
        self._alerts = alerts
        self._changes = changes

    async def deliver(self, message: Message, id: str, sent: SentMessages) -> Receipt:
        """Send the change event of an ended deployment, once, then trigger or resolve the alert of the environment."""
        del id
        is_change = message.event is NotificationEvent.TEST or (self._changes and _is_change(message))
        if is_change and sent.find("change") is None:
            await self._post("change/enqueue", change_event(message))
            await sent.record("change", Receipt.ACCEPTED)
        is_rehearsal = message.kind is DeploymentKind.REHEARSE
        if self._alerts.wants(message.event, message.environment) and not is_rehearsal:
            await self._post("enqueue", trigger_event(message))
        elif resolves(message):
            await self._post("enqueue", {"event_action": "resolve", "dedup_key": dedup_key(message)})
        return Receipt.ACCEPTED

    async def _post(self, path: str, event: dict[str, Any]) -> None:
        content = json.dumps({"routing_key": self._routing_key.reveal(), **event}).encode()
        url = Secret("PagerDuty's API", f"{self._api}/v2/{path}")
        answer = await post("PagerDuty", url, content, {"content-type": "application/json"})
        if 400 <= answer.status < 500:
            raise NotificationError(
                f"PagerDuty answers {answer.summary}",
                need="the key of an integration of the kind Events API v2",
                next="set the variable that `notify: {pagerduty: {routing_key: …}}` names",
            )
        if answer.status != 202:
            raise NotificationDelayedError(f"PagerDuty answers {answer.summary}", need="202, not a proxy's answer")


def change_event(message: Message) -> dict[str, Any]:
    """Return the change event of a deployment."""
    payload = {
        "summary": message.headline[:MAX_SUMMARY],
        "timestamp": message.at,
        "source": "abreast",
        "custom_details": _details(message),
    }
    return {"payload": payload, "links": _links(message)}


def trigger_event(message: Message) -> dict[str, Any]:
    """Return the event that opens the alert of an environment, or changes it."""
    payload = {
        "summary": f"{message.project}: {message.title}"[:MAX_SUMMARY],
        "timestamp": message.at,
        "severity": message.severity.value,
        "source": f"{message.project}/{message.environment}",
        "component": message.environment,
        "group": message.project,
        "class": message.event.value,
        "custom_details": _details(message),
    }
    return {
        "event_action": "trigger",
        "dedup_key": dedup_key(message),
        "payload": payload,
        "links": _links(message),
        "client": "abreast",
    }


def resolves(message: Message) -> bool:
    """Whether an event ends what its key alerts about."""
    if message.event in _ENDING:
        return True
    return message.event is NotificationEvent.SUCCEEDED and message.kind is not DeploymentKind.REHEARSE


def dedup_key(message: Message) -> str:
    """Return the key of an alert: one for an environment, and one each for its drills and for each of its backups."""
    is_drill = message.kind is DeploymentKind.DRILL or message.event is NotificationEvent.DRILL_FAILED
    is_backup = message.event in {NotificationEvent.BACKUP_FAILED, NotificationEvent.BACKUP_RESUMED}
    kind = "drill" if is_drill else "backup" if is_backup else ""
    parts = ("abreast", message.project, message.environment, kind, message.topic)
    return "/".join(filter(None, parts))[:MAX_DEDUP_KEY]


def _is_change(message: Message) -> bool:
    return message.event in _ENDS and message.kind in _CHANGING


def _details(message: Message) -> dict[str, Any]:
    """Return what is known, without what is empty."""
    details = {
        "environment": message.environment,
        "deployment": message.deployment,
        "release": message.release,
        **{name.lower(): value for name, value in message.facts},
        "services": {service.name: f"{service.text} {service.url}".rstrip() for service in message.services},
        "failures": [f"{failure.text}\n{failure.log}".rstrip() for failure in message.failures],
        "next": list(message.next_commands),
    }
    return {name: value for name, value in details.items() if value}


def _links(message: Message) -> list[dict[str, str]]:
    urls = ((service.url, service.name.capitalize()) for service in message.services)
    return [{"href": url, "text": text} for url, text in ((message.run_url, "Run"), *urls) if url]


def _create(context: NotifierContext, settings: BaseModel) -> Notifier:
    assert isinstance(settings, PagerDutySettings)
    alerts = settings.route()
    receiver = PagerDuty(settings.api, context.interpolate(settings.routing_key), alerts, changes=settings.changes)
    named = _NEWS | (alerts.events - DEFAULT_EVENTS)
    return MessageNotifier(context.name, context.project, Route(alerts.environments, named), receiver)


PLUGIN = NotifierPlugin(PagerDutySettings, _create)
