"""Notifiers made as a deployment makes them, and what receivers of all kinds are tried with."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from abreast.core.states import DeploymentState
from abreast.deploy.outbox import insist
from abreast.notify.interface import Notifier, Occurrence, Snapshot
from abreast.notify.message_notifier import MessageNotifier
from abreast.testing.platforms.fault_injection import FaultInjector, FaultKind, InjectedFault
from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.wiring.assembly import PLUGIN_SETTINGS
from abreast.wiring.notifiers import create_notifiers
from notified_snapshots import Memory, snapshot


def create_notifier(kind: str, settings: Mapping[str, Any], **variables: str) -> Notifier:
    """Return what abreast.yml makes of ``notify: {kind: settings}``."""
    model = PLUGIN_SETTINGS.notifiers[kind].model_validate(settings)
    (notifier,) = create_notifiers("shop", {kind: model}, variables)
    return notifier


def tell(notifier: Notifier, deployment: Snapshot, sent: Memory) -> None:
    """Tell it as a deployment does: again and again until it is delivered or given up."""
    asyncio.run(insist(lambda: notifier.notify(deployment, sent)))


def tell_whole_deployment(notifier: Notifier, end: DeploymentState, sent: Memory, **fields: Any) -> None:  # noqa: ANN401
    """Tell of a start and of an end."""
    tell(notifier, snapshot(DeploymentState.RUNNING), sent)
    tell(notifier, snapshot(end, **fields), sent)


def send_test(notifier: Notifier) -> str:
    """Return what is known of a test."""
    assert isinstance(notifier, MessageNotifier)
    return asyncio.run(notifier.send_test())


@contextmanager
def served(app: FaultInjector) -> Iterator[str]:
    """Serve a receiver, and give its address."""
    with ThreadedServer(app) as server:
        yield server.url


def fail(faults: FaultInjector, kind: FaultKind = FaultKind.STATUS, **fields: Any) -> None:  # noqa: ANN401
    """Let the next request fail."""
    faults.planned.append(InjectedFault("POST", ".*", kind, **fields))


def tell_occurrence(notifier: MessageNotifier, occurrence: Occurrence) -> None:
    """Tell it of something that happened while nothing was deployed."""
    asyncio.run(insist(lambda: notifier.notify_occurrence(occurrence, Memory())))
