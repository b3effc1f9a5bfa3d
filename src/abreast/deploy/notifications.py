"""Tells the notifiers about a deployment while it runs, and at its end.

The ledger is the outbox: its events say what happened, and its notifications what was told of it. What a notifier does
not know of an ended deployment, the next command that deploys to the environment tells it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from abreast.core.errors import StateError
from abreast.core.events import Event
from abreast.core.plan import Plan
from abreast.deploy.outbox import (
    BEGUN,
    ENDED,
    RecordedMessages,
    overdue_news,
    redacted_plan,
    take_snapshot,
    tell_digest,
    tell_incidents,
    tell_overdue_occurrences,
    waiting_plan,
)
from abreast.deploy.runtime.ports import Ports
from abreast.notify.interface import NotificationDelayedError, NotificationError, Notifier

INTERVAL = 0.5
"""Seconds between two looks at what happened. What happens in between is told at once."""

PATIENCE_AT_END = 20.0
"""Seconds to wait for notifiers when a deployment has ended."""

PATIENCE_OF_SEND = 60.0
"""Seconds to wait for one notifier where nothing is deployed."""


@asynccontextmanager
async def keep_informed(ports: Ports, plan: Plan, report: Callable[[str], None]) -> AsyncIterator[None]:
    """Tell the notifiers about the deployment for the block, and of its end for up to ``PATIENCE_AT_END`` s more.

    ``report`` gets a line for what could not be told. Nothing that happens here fails the deployment.
    """
    over = asyncio.Event()
    notifiers = await asyncio.to_thread(lambda: [*ports.notifiers(), *ports.approver_notifiers(plan)])
    tasks = {
        asyncio.create_task(_Informant(ports, notifier, report).inform(plan, over)): notifier for notifier in notifiers
    }
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


async def tell_of_removal(ports: Ports, environment: str, report: Callable[[str], None]) -> None:
    """Tell the notifiers that know of the latest deployment of an environment that all of it was removed since."""
    deployments = await asyncio.to_thread(ports.ledger.deployments, environment, 1)
    for notifier in await asyncio.to_thread(ports.notifiers) if deployments else ():
        plan = await asyncio.to_thread(ports.ledger.stored_plan, deployments[0].id)
        events = await asyncio.to_thread(ports.ledger.events, plan.deployment)
        snapshot = await asyncio.to_thread(take_snapshot, ports.ledger, plan, events, "")
        try:
            await notifier.notify(snapshot, await RecordedMessages.load(ports.ledger, plan.deployment, notifier.name))
        except NotificationError as error:
            report(f"{notifier.name} was not told: {error}")


async def tell_overdue(ports: Ports, environment: str, report: Callable[[str], None]) -> None:
    """Tell all notifiers what is due in an environment that nothing is deployed to now."""
    for notifier in await asyncio.to_thread(ports.notifiers):
        try:
            async with asyncio.timeout(PATIENCE_OF_SEND):
                await _Informant(ports, notifier, report).tell_overdue(environment)
        except TimeoutError:
            report(f"{notifier.name} was not told of everything within {PATIENCE_OF_SEND:.0f} s")
    if waiting := await asyncio.to_thread(waiting_plan, ports.ledger, environment):
        for notifier in await asyncio.to_thread(ports.approver_notifiers, waiting):
            await _Informant(ports, notifier, report).tell_waiting(waiting)


class _Informant:
    """Tells one notifier. ``report`` gets each line only once."""

    def __init__(self, ports: Ports, notifier: Notifier, report: Callable[[str], None]) -> None:
        self._ports = ports
        self._notifier = notifier
        self._report = report
        self._reported = set[str]()

    async def inform(self, plan: Plan, over: asyncio.Event) -> None:
        """Tell what is overdue, then this deployment until it ends."""
        await self.tell_overdue(plan.environment, plan.deployment)
        try:
            await self._follow(plan, over)
            await tell_incidents(self._ports, self._notifier, plan.environment)
        except StateError:
            pass  # the deployment meets it too, and says so
        except NotificationError as error:
            self._say(str(error))
        except Exception as error:  # noqa: BLE001 (a notifier of any package must not end a deployment)
            self._say(f"unexpected error: {type(error).__name__}: {error}")

    async def tell_waiting(self, plan: Plan) -> None:
        """Tell that a deployment waits, unless that was told."""
        try:
            async with asyncio.timeout(PATIENCE_OF_SEND):
                await self._follow(plan, None)
        except StateError:
            pass  # the command meets it too, and says so
        except TimeoutError:
            self._say(f"it does not answer within {PATIENCE_OF_SEND:.0f} s")
        except Exception as error:  # noqa: BLE001 (as above)
            self._say(f"unexpected error: {type(error).__name__}: {error}")

    async def tell_overdue(self, environment: str, but: str = "") -> None:
        """Tell what is overdue, oldest first, until the receiver refuses. ``but`` is the deployment that runs now."""
        ports, notifier = self._ports, self._notifier
        try:
            for plan in await asyncio.to_thread(overdue_news, ports.ledger, notifier.name, environment, but):
                if not await self._follow(plan, None):
                    return
            await tell_overdue_occurrences(ports, notifier, environment)
            await tell_incidents(ports, notifier, environment)
            await tell_digest(ports, notifier, environment)
        except NotificationError as error:
            self._say(str(error))
        except StateError:
            pass  # as above
        except Exception as error:  # noqa: BLE001 (as above)
            self._say(f"unexpected error: {type(error).__name__}: {error}")

    async def _follow(self, plan: Plan, over: asyncio.Event | None) -> bool:
        """Tell whatever happens until its end is told, or all of it if the block is over. Returns whether it was."""
        ledger = self._ports.ledger
        sent = await RecordedMessages.load(ledger, plan.deployment, self._notifier.name)
        if sent.find(ENDED) is not None:
            return True
        await sent.record(BEGUN)
        shown, subject = await asyncio.to_thread(redacted_plan, self._ports, plan)
        told, events, is_told = 0, list[Event](), True
        while True:
            is_over = over is None or over.is_set()
            events += await asyncio.to_thread(ledger.events, plan.deployment, events[-1].seq if events else 0)
            pause = INTERVAL
            if len(events) > told:
                snapshot = await asyncio.to_thread(take_snapshot, ledger, shown, events, subject)
                try:
                    await self._notifier.notify(snapshot, sent)
                except NotificationDelayedError as error:
                    pause = error.retry_after
                except NotificationError as error:
                    self._say(str(error))
                    told, is_told = len(events), False
                else:
                    told, is_told = len(events), True
                    if snapshot.state.is_final:
                        await sent.record(ENDED)
            if told == len(events) and (is_over or sent.find(ENDED) is not None):
                return is_told
            await _wait(over, pause)

    def _say(self, why: str) -> None:
        if why not in self._reported:
            self._reported.add(why)
            self._report(f"{self._notifier.name} was not told: {why}")


async def _wait(over: asyncio.Event | None, pause: float) -> None:
    """Wait for the end of the deployment, ``pause`` seconds at most; after its end, as long as that."""
    if over is None or over.is_set():
        await asyncio.sleep(pause)
        return
    try:
        await asyncio.wait_for(over.wait(), pause)
    except TimeoutError:
        return
