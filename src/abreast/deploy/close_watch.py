"""The close watch after an emergency: for an hour, people are told within seconds if what is live falls sick again."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from abreast.core.errors import StateError
from abreast.core.live_watch import LiveWatch, describe_change
from abreast.core.model import LiveService
from abreast.deploy.live_probes import live_faults
from abreast.deploy.outbox import tell_occurrence
from abreast.deploy.runtime.incidents import record_condition
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_history import confirmations
from abreast.ledger.interface import Deployment
from abreast.ledger.lock import EnvironmentLock
from abreast.notify.interface import Occurrence, OccurrenceKind

DURATION = 3600.0
"""Seconds that it lasts."""

INTERVAL = 2.0
"""Seconds between two looks, unless a service is to be asked less often."""


async def watch_closely(
    ports: Ports, lock: EnvironmentLock, deployment: Deployment, until: str, report: Callable[[str], None]
) -> None:
    """Watch what is live since a deployment until a moment (ISO 8601), and tell when it degrades and when it recovers.

    Ends before, once another release is deployed there, nothing is live, or a person confirms the release. Looks away
    while somebody works on the environment, while users get a maintenance page, and while the home of the record does
    not answer.
    """
    watch, pause = LiveWatch(), INTERVAL
    confirmed = await asyncio.to_thread(_confirmed, ports, deployment.environment)
    while datetime.fromisoformat(ports.now()) < datetime.fromisoformat(until):
        await asyncio.sleep(pause)
        try:
            if not await asyncio.to_thread(lock.is_free, INTERVAL):
                continue
            if await asyncio.to_thread(ports.ledger.maintenance, deployment.environment):
                continue
            live = await asyncio.to_thread(_watched, ports, deployment, confirmed)
        except StateError as error:
            report(f"not looked at: {error.what}")
            continue
        except FileNotFoundError:  # the state of the project is gone
            return
        if not live:
            return
        pause = max([INTERVAL, *(service.definition.health.interval or 0.0 for service in live)])
        faults = await live_faults(ports, live)
        before, watch = watch, watch.with_look(faults, frozenset(service.service for service in live))
        if change := describe_change(before, watch):
            await _tell(ports, deployment, watch, change, report)


def _watched(ports: Ports, deployment: Deployment, confirmed: int) -> list[LiveService]:
    """Return what is live in the environment of a deployment, nothing once that is not its matter any more.

    ``confirmed`` is how often people had confirmed it when the watch began.
    """
    latest = (found for found in ports.ledger.deployments(deployment.environment) if found.kind.is_releasing)
    if next(latest).id != deployment.id or _confirmed(ports, deployment.environment) > confirmed:
        return []
    return list(ports.ledger.live_services(deployment.environment).values())


def _confirmed(ports: Ports, environment: str) -> int:
    """Return how often people confirmed what is live in an environment."""
    deployments = {service.deployment for service in ports.ledger.live_services(environment).values()}
    return sum(len(confirmations(ports.ledger, id_)) for id_ in deployments)


async def _tell(
    ports: Ports, deployment: Deployment, watch: LiveWatch, change: str, report: Callable[[str], None]
) -> None:
    kind = OccurrenceKind.DEGRADED if watch.degraded else OccurrenceKind.RECOVERED
    report(f"{kind}: {change}")
    is_degraded = kind is OccurrenceKind.DEGRADED
    await asyncio.to_thread(record_condition, ports.ledger, deployment.environment, change, is_degraded=is_degraded)
    occurrence = Occurrence(kind, deployment.project, deployment.environment, change, ports.now())
    await tell_occurrence(ports.ledger, ports.notifiers(), occurrence, report)
