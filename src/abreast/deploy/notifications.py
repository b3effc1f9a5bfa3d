"""Tells the notifiers about a deployment while it runs, and at its end.

The ledger is the outbox: its events say what happened, and its notifications what was told of it. What a notifier does
not know of an ended deployment, the next command that deploys to the environment tells it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from abreast.core.errors import StateError
from abreast.core.events import Event
from abreast.core.model import Plan
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import Ledger
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    Notifier,
    SentMessages,
    Snapshot,
)

INTERVAL = 1.0
"""Seconds between two looks at what happened. What happens in between is told at once."""

PATIENCE_AT_END = 20.0
"""Seconds to wait for notifiers when a deployment has ended."""

MAX_OVERDUE = 20
"""How many deployments are looked at for an end that was not told."""

_BEGUN, _ENDED = "begun", "ended"


@asynccontextmanager
async def keep_informed(ports: Ports, plan: Plan, report: Callable[[str], None]) -> AsyncIterator[None]:
    """Tell the notifiers about the deployment for the block, and of its end for up to ``PATIENCE_AT_END`` s more.

    ``report`` gets a line for what could not be told. Nothing that happens here fails the deployment.
    """
    over = asyncio.Event()
    notifiers = await asyncio.to_thread(ports.notifiers)
    tasks = {asyncio.create_task(_inform(ports, notifier, plan, over, report)): notifier for notifier in notifiers}
    try:
        yield
    finally:
        over.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=PATIENCE_AT_END)
            for task in late:
                task.cancel()
                report(f"{tasks[task].name} does not know yet how it ended; the next deployment here tells it")
            await asyncio.gather(*tasks, return_exceptions=True)


async def _inform(
    ports: Ports, notifier: Notifier, plan: Plan, over: asyncio.Event, report: Callable[[str], None]
) -> None:
    """Tell one notifier of the ends that it does not know, then of this deployment until it ends."""
    try:
        for overdue in await asyncio.to_thread(_overdue, ports.ledger, notifier.name, plan):
            await _follow(ports, notifier, overdue, None)
        await _follow(ports, notifier, plan, over)
    except NotificationError as error:
        report(f"{notifier.name} was not told: {error}")
    except StateError:
        pass  # the deployment meets it too, and says so
    except Exception as error:  # noqa: BLE001 (a notifier of any package must not end a deployment)
        report(f"{notifier.name} was not told: unexpected error: {type(error).__name__}: {error}")


async def tell_of_removal(ports: Ports, environment: str, report: Callable[[str], None]) -> None:
    """Tell the notifiers that know of the latest deployment of an environment that all of it was removed since."""
    deployments = await asyncio.to_thread(ports.ledger.deployments, environment, 1)
    for notifier in await asyncio.to_thread(ports.notifiers) if deployments else ():
        plan = await asyncio.to_thread(ports.ledger.stored_plan, deployments[0].id)
        events = await asyncio.to_thread(ports.ledger.events, plan.deployment)
        snapshot = await asyncio.to_thread(_snapshot, ports.ledger, plan, events, "")
        try:
            await notifier.notify(snapshot, await RecordedMessages.load(ports.ledger, plan.deployment, notifier.name))
        except NotificationError as error:
            report(f"{notifier.name} was not told: {error}")


def _overdue(ledger: Ledger, notifier: str, plan: Plan) -> list[Plan]:
    """Return the plans of ended deployments whose end was not told to a notifier that knew of them, oldest first."""
    plans = []
    for deployment in ledger.deployments(plan.environment, MAX_OVERDUE):
        if deployment.id == plan.deployment or not deployment.state.is_final:
            continue
        told = ledger.notifications(deployment.id)
        if f"{notifier}/{_BEGUN}" in told and f"{notifier}/{_ENDED}" not in told:
            plans.append(ledger.stored_plan(deployment.id))
    return plans[::-1]


async def _follow(ports: Ports, notifier: Notifier, plan: Plan, over: asyncio.Event | None) -> None:
    """Tell a notifier whatever happens until it knows of the deployment's end, or of all if the block is over."""
    sent = await RecordedMessages.load(ports.ledger, plan.deployment, notifier.name)
    if sent.find(_ENDED) is not None:
        return
    await sent.record(_BEGUN)
    subject = await asyncio.to_thread(ports.source.subject, plan.commit)
    told, events = 0, list[Event]()
    while True:
        is_over = over is None or over.is_set()
        events += await asyncio.to_thread(ports.ledger.events, plan.deployment, events[-1].seq if events else 0)
        pause = INTERVAL
        if len(events) > told:
            snapshot = await asyncio.to_thread(_snapshot, ports.ledger, plan, events, subject)
            try:
                await notifier.notify(snapshot, sent)
                told = len(events)
            except NotificationDelayedError as error:
                pause = error.retry_after
            else:
                if snapshot.state.is_final:
                    await sent.record(_ENDED)
        if told == len(events) and (is_over or sent.find(_ENDED) is not None):
            return
        await _wait(over, pause)


async def _wait(over: asyncio.Event | None, pause: float) -> None:
    """Wait for the end of the deployment, ``pause`` seconds at most; after its end, as long as that."""
    if over is None or over.is_set():
        await asyncio.sleep(pause)
        return
    try:
        await asyncio.wait_for(over.wait(), pause)
    except TimeoutError:
        return


def _snapshot(ledger: Ledger, plan: Plan, events: Sequence[Event], subject: str) -> Snapshot:
    now = ledger.deployment(plan.deployment)
    live = ledger.live_services(plan.environment)
    return Snapshot(plan, now.state, now.chapter, now.started, now.finished, tuple(events), live, subject)


class RecordedMessages(SentMessages):
    """The messages of one notifier about one deployment, in the ledger."""

    def __init__(self, record: Callable[[str, str], None], known: dict[str, str]) -> None:
        self._record = record
        self._known = known

    @classmethod
    async def load(cls, ledger: Ledger, deployment: str, notifier: str) -> "RecordedMessages":
        """Return what is recorded."""
        prefix = f"{notifier}/"
        found = await asyncio.to_thread(ledger.notifications, deployment)
        known = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
        return cls(lambda key, value: ledger.record_notification(deployment, prefix + key, value), known)

    def find(self, key: str) -> str | None:
        """Return the value of a key, None if nothing was recorded under it."""
        return self._known.get(key)

    async def record(self, key: str, value: str = "") -> None:
        """Record a value, durably."""
        await asyncio.to_thread(partial(self._record, key, value))
        self._known.setdefault(key, value)
