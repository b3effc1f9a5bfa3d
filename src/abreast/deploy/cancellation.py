"""Ask the process that runs a deployment to turn it back, and wait for what comes of it. Needs no engine."""

import asyncio

from abreast.core.errors import UsageError
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment, Ledger
from abreast.ledger.lock import EnvironmentLock
from abreast.machine.threads import run_in_thread

POLL_INTERVAL = 0.05
"""Seconds between two looks at the lock and the ledger."""


def running_deployment(ledger: Ledger, lock: EnvironmentLock, environment: str) -> Deployment | None:
    """Return the deployment that must end before another can change what is live, None if there is none.

    One that waits, also for an approval, has changed nothing; without a process it never will.
    """
    waiting = {DeploymentState.WAITING, DeploymentState.APPROVING}
    for deployment in ledger.deployments(environment):
        if not deployment.state.is_final and (deployment.state not in waiting or not lock.is_free()):
            return deployment
    return None


def request_cancel(ledger: Ledger, deployment: Deployment, reason: str) -> None:
    """Ask for a deployment to be turned back. Raises UsageError if it has already ended."""
    if deployment.state.is_final:
        raise UsageError(
            f"deployment {deployment.id} has already ended: {deployment.state}",
            next=f"abreast rollback --env {deployment.environment} --reason …",
        )
    ledger.request(deployment.id, "cancel", reason)


async def wait_while_running(ledger: Ledger, lock: EnvironmentLock, id: str) -> Deployment:
    """Wait until a deployment has ended or no process runs it any more. Return it as it is then."""
    while True:
        is_free = lock.is_free()  # before the read: a process that lets go has recorded all it did
        deployment = await run_in_thread(ledger.deployment, id)
        if is_free or deployment.state.is_final:
            return deployment
        await asyncio.sleep(POLL_INTERVAL)
