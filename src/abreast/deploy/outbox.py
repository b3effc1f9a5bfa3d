"""What notifiers were told and what not, by the ledger: it is the outbox, which every machine reads.

Whoever holds an environment tells what is due there: ends that could not be told, what happened while nothing was
deployed, and digests.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from abreast.core.codec import dump, load
from abreast.core.events import Event
from abreast.core.plan import Plan
from abreast.core.redaction.redactor import Redactor
from abreast.core.states import DeploymentState
from abreast.deploy.chapters.approval import approval_request
from abreast.deploy.incident_news import due_incident_news
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import deployment_secrets
from abreast.ledger.interface import Ledger
from abreast.notify.interface import (
    DIGEST,
    HELD,
    RECOVERIES,
    NotificationDelayedError,
    NotificationError,
    Notifier,
    Occurrence,
    OccurrenceKind,
    SendsDigests,
    SentMessages,
    Snapshot,
    TellsOccurrences,
)

BEGUN, ENDED = "begun", "ended"
"""The keys of a notifier that follows a deployment, and of one that knows its end."""

MAX_OVERDUE = 20
"""How many deployments, and how many other occurrences, are looked at for what was not told."""

MAX_HELD = 200
"""How many deployments are looked at for a digest."""

MIN_AGE = 120.0
"""Seconds for which what happened is left to the process that met it."""


class RecordedMessages(SentMessages):
    """The messages of one notifier about one deployment or occurrence, in the ledger."""

    def __init__(self, record: Callable[[str, str], None], known: dict[str, str]) -> None:
        self._record = record
        self._known = known

    @classmethod
    async def load(cls, ledger: Ledger, subject: str, notifier: str) -> "RecordedMessages":
        """Return what is recorded under a subject: a deployment, or what ``digests`` and ``occurrences`` name."""
        prefix = f"{notifier}/"
        found = await asyncio.to_thread(ledger.notifications, subject)
        known = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
        return cls(lambda key, value: ledger.record_notification(subject, prefix + key, value), known)

    def find(self, key: str) -> str | None:
        """Return the value of a key, None if nothing was recorded under it."""
        return self._known.get(key)

    async def record(self, key: str, value: str = "") -> None:
        """Record a value, durably."""
        await asyncio.to_thread(partial(self._record, key, value))
        self._known.setdefault(key, value)


def overdue_news(ledger: Ledger, notifier: str, environment: str, but: str = "") -> list[Plan]:
    """Return the plans of deployments, oldest first, that a notifier knows of, and may not know all of.

    They have ended and it was not told so, or they wait for an approval. ``but`` is a deployment that is left out.
    """
    plans = []
    for deployment in ledger.deployments(environment, MAX_OVERDUE):
        if deployment.id == but or not (deployment.state.is_final or deployment.state is DeploymentState.APPROVING):
            continue
        told = ledger.notifications(deployment.id)
        if f"{notifier}/{BEGUN}" in told and f"{notifier}/{ENDED}" not in told:
            plans.append(ledger.stored_plan(deployment.id))
    return plans[::-1]


def waiting_plan(ledger: Ledger, environment: str) -> Plan | None:
    """Return the plan of the deployment of an environment that waits for an approval, None if none does."""
    latest = ledger.deployments(environment, MAX_OVERDUE)
    waiting = (deployment for deployment in latest if deployment.state is DeploymentState.APPROVING)
    return next((ledger.stored_plan(deployment.id) for deployment in waiting), None)


def redacted_plan(ports: Ports, plan: Plan) -> tuple[Plan, str]:
    """Return a plan, and the subject of its commit, as they may be told: people write secrets into both."""
    redactor = Redactor(deployment_secrets(plan, ports))
    subject = redactor.redact_text(ports.source.subject(plan.commit))
    return replace(plan, reason=redactor.redact_text(plan.reason)), subject


def take_snapshot(ledger: Ledger, plan: Plan, events: Sequence[Event], subject: str) -> Snapshot:
    """Return a deployment as it is now."""
    now = ledger.deployment(plan.deployment)
    live = ledger.live_services(plan.environment)
    request = approval_request(plan, events) if now.state is DeploymentState.APPROVING else None
    return Snapshot(plan, now.state, now.chapter, now.started, now.finished, tuple(events), live, subject, request)


# ── what happened while nothing was deployed ───────────────────────────────────────────────────


async def tell_occurrence(
    ledger: Ledger, notifiers: Sequence[Notifier], occurrence: Occurrence, report: Callable[[str], None]
) -> None:
    """Record what happened, and tell it. ``report`` gets a line for each notifier that could not be told now."""
    subject = _occurrences(occurrence.environment)
    await asyncio.to_thread(ledger.record_notification, subject, occurrence.id, json.dumps(dump(occurrence)))
    for notifier in notifiers:
        await _tell_or_report(notifier, partial(_tell_one, ledger, notifier, occurrence), report)


async def tell_overdue_occurrences(ports: Ports, notifier: Notifier, environment: str) -> None:
    """Tell a notifier what happened, still holds and it was not told. Raises NotificationError.

    A failure that is over is left out: an alert that opens after the recovery would stay open.
    """
    found = await asyncio.to_thread(ports.ledger.notifications, _occurrences(environment))
    recorded = _recorded(found)[-MAX_OVERDUE:]
    for occurrence in recorded:
        is_told = f"{notifier.name}/{occurrence.id}/{ENDED}" in found
        is_over = any(other.settles(occurrence) for other in recorded)
        if not is_told and not is_over and _age(occurrence.at, ports.now()) >= MIN_AGE:
            await _tell_one(ports.ledger, notifier, occurrence)


def has_failed(ledger: Ledger, environment: str, recovery: OccurrenceKind, topic: str) -> bool:
    """Whether the last word of the record on a topic is a failure that such a recovery ends."""
    for occurrence in reversed(_recorded(ledger.notifications(_occurrences(environment)))):
        if occurrence.topic == topic and recovery in {occurrence.kind, RECOVERIES.get(occurrence.kind)}:
            return occurrence.kind is not recovery
    return False


def _recorded(notifications: Mapping[str, str]) -> list[Occurrence]:
    """Return what happened, oldest first."""
    return [load(Occurrence, json.loads(value)) for value in notifications.values() if value.startswith("{")]


async def tell_incidents(ports: Ports, notifier: Notifier, environment: str) -> None:
    """Tell a notifier what it does not know of the incidents of an environment. Raises NotificationError.

    They follow from the ledger, so nothing of it is recorded but that it was told.
    """
    if not isinstance(notifier, TellsOccurrences):
        return
    news = await asyncio.to_thread(due_incident_news, ports.ledger, environment, ports.now())
    told = await asyncio.to_thread(ports.ledger.notifications, _occurrences(environment)) if news else {}
    for occurrence in news:
        if f"{notifier.name}/{occurrence.id}/{ENDED}" not in told:
            await _tell_one(ports.ledger, notifier, occurrence)


async def _tell_one(ledger: Ledger, notifier: Notifier, occurrence: Occurrence) -> None:
    if not isinstance(notifier, TellsOccurrences):
        return
    subject = _occurrences(occurrence.environment)
    sent = await RecordedMessages.load(ledger, subject, f"{notifier.name}/{occurrence.id}")
    await insist(partial(notifier.notify_occurrence, occurrence, sent))
    await sent.record(ENDED)


def _occurrences(environment: str) -> str:
    return f"occurrences/{environment}"


# ── digests ────────────────────────────────────────────────────────────────────────────────────


async def tell_digest(ports: Ports, notifier: Notifier, environment: str) -> None:
    """Tell a notifier what it holds, if its time has come. Raises NotificationError."""
    if not isinstance(notifier, SendsDigests) or not notifier.digest_interval:
        return
    plans = await asyncio.to_thread(_held_plans, ports.ledger, notifier.name, environment)
    held = [await asyncio.to_thread(_ended_snapshot, ports, plan) for plan in plans]
    if held and _age(held[0].finished or held[0].started, ports.now()) >= notifier.digest_interval:
        key = f"{notifier.name}/{plans[-1].deployment}"
        sent = await RecordedMessages.load(ports.ledger, _digests(environment), key)
        await insist(partial(notifier.notify_digest, held, sent))


def _held_plans(ledger: Ledger, notifier: str, environment: str) -> list[Plan]:
    """Return the plans of what is held since the latest digest, oldest first. A digest names the last of its own."""
    told = ledger.notifications(_digests(environment))
    plans = []
    for deployment in ledger.deployments(environment, MAX_HELD):
        if f"{notifier}/{deployment.id}/{DIGEST}" in told:
            break
        if f"{notifier}/{HELD}" in ledger.notifications(deployment.id):
            plans.append(ledger.stored_plan(deployment.id))
    return plans[::-1]


def _ended_snapshot(ports: Ports, plan: Plan) -> Snapshot:
    told, subject = redacted_plan(ports, plan)
    return take_snapshot(ports.ledger, told, ports.ledger.events(plan.deployment), subject)


def _digests(environment: str) -> str:
    return f"digests/{environment}"


# ── what both have ─────────────────────────────────────────────────────────────────────────────


async def insist(tell: Callable[[], Awaitable[None]]) -> None:
    """Call ``tell`` until it can deliver, or gives up. Raises NotificationError."""
    while True:
        try:
            await tell()
        except NotificationDelayedError as error:
            await asyncio.sleep(error.retry_after)
        else:
            return


async def _tell_or_report(
    notifier: Notifier, tell: Callable[[], Awaitable[None]], report: Callable[[str], None]
) -> None:
    try:
        await tell()
    except NotificationError as error:
        report(f"{notifier.name} was not told: {error}")
    except Exception as error:  # noqa: BLE001 (a notifier of any package must not end a command)
        report(f"{notifier.name} was not told: unexpected error: {type(error).__name__}: {error}")


def _age(moment: str, now: str) -> float:
    return (datetime.fromisoformat(now) - datetime.fromisoformat(moment)).total_seconds()
