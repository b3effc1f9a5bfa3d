"""Commands on notifications: try the receivers, and send what is due."""

import asyncio
import sys
from collections.abc import Sequence

from abreast.cli.redaction import redact
from abreast.cli.selection import locate_workspace
from abreast.cli.target import hold_environment
from abreast.core.errors import RefusedError, UsageError
from abreast.deploy.notifications import tell_overdue
from abreast.notify.interface import NotificationError, Notifier, Receipt, SendsTests
from abreast.wiring.assembly import Assembly
from abreast.wiring.notifiers import create_notifiers

MAX_DEPLOYMENTS = 1000
"""How many deployments back an environment is looked for that abreast.yml does not name, such as a preview."""

_MEANINGS = {
    Receipt.DELIVERED: "delivered",
    Receipt.ACCEPTED: "accepted: it is on its way, and nobody says when it is read",
}


def send_tests(receiver: str | None) -> int:
    """Send a test to each receiver, or to one. Returns 1 if one cannot be reached."""
    assembly = Assembly(locate_workspace())
    project = assembly.project
    notifiers = create_notifiers(project.name, project.notifiers, assembly.workspace.variables)
    return asyncio.run(_send_tests(_chosen(notifiers, receiver)))


def send_overdue(environment: str | None) -> int:
    """Send what was not told, in one environment or in all. Returns 1 if something is still not told."""
    assembly = Assembly(locate_workspace())
    if environment:
        assembly.project.require_environment(environment)
    failed = False

    def report(text: str) -> None:
        nonlocal failed
        failed = True
        print(f"abreast: {redact(text)}", file=sys.stderr, flush=True)

    with assembly.workspace.open_ledger() as ledger:
        deployed = [deployment.environment for deployment in ledger.deployments(limit=MAX_DEPLOYMENTS)]
        known = dict.fromkeys([*assembly.project.environments, *deployed])
        for name in [environment] if environment else known:
            try:
                with hold_environment(assembly.workspace, name, ledger, may_be_locked=True):
                    asyncio.run(tell_overdue(assembly.ports(name, ledger), name, report))
            except RefusedError as error:
                report(f"{name} was left out: {error}")
    return int(failed)


def _chosen(notifiers: Sequence[Notifier], receiver: str | None) -> list[Notifier]:
    names = [notifier.name for notifier in notifiers]
    if not names:
        raise UsageError("nobody is told", need="`notify` in abreast.yml, such as {slack: {webhook: …}}")
    if receiver and receiver not in names:
        raise UsageError(f"no receiver {receiver!r}", need=f"one of: {', '.join(names)}")
    return [notifier for notifier in notifiers if receiver in {None, notifier.name}]


async def _send_tests(notifiers: Sequence[Notifier]) -> int:
    code = 0
    for notifier in notifiers:
        if not isinstance(notifier, SendsTests):
            print(f"{notifier.name}: has no test; it is told of deployments", flush=True)
            continue
        try:
            receipt = await notifier.send_test()
        except NotificationError as error:
            code = 1
            print(redact(f"{notifier.name}: {error}"), file=sys.stderr, flush=True)
        else:
            print(f"{notifier.name}: {_MEANINGS[receipt]}", flush=True)
    return code
