"""Executes a recorded plan in this process, from its last recorded step, and polls for requests to cancel."""

import asyncio
from collections.abc import Sequence

from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Failure, FailureCause
from abreast.core.plan import Plan
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.workflow import DEPLOYMENT_WORKFLOW, TURN_BACK_WORKFLOW, DeploymentWorkflow

REQUEST_POLL_INTERVAL = 0.05
"""Seconds between two polls for a request such as ``abreast cancel``."""


async def execute_plan(plan: Plan, workflow: DeploymentWorkflow) -> DeploymentState:
    """Execute the plan and return the final state of the deployment.

    Raises StateError if it cannot be recorded (it can be resumed), UsageError if a secret that it still needs has no
    value (nothing more has changed).
    """
    ports = workflow.ports
    deployment = await asyncio.to_thread(ports.ledger.deployment, plan.deployment)
    if deployment.state.is_final:
        return deployment.state
    # The process that ran this deployment before is dead, so what its commands still do is nobody's.
    await asyncio.to_thread(ports.end_orphans, ports.folders.logs / plan.deployment)
    is_cancelled = await _check_for_cancel(plan, workflow)
    if not is_cancelled and deployment.state in {DeploymentState.WAITING, DeploymentState.RUNNING}:
        await asyncio.to_thread(_record_secret_fingerprints, plan, ports)
    polling = asyncio.ensure_future(_poll_requests(plan, workflow))
    try:
        return await _run_to_end(plan, workflow)
    finally:
        polling.cancel()


def _record_secret_fingerprints(plan: Plan, ports: Ports) -> None:
    fingerprints = {
        f"{part.name}/{name}": ports.fingerprint(secret)
        for part in plan.rollouts
        for name, secret in ports.reveal_secrets(part.service).items()
    }
    ports.ledger.record_secret_fingerprints(plan.environment, fingerprints)


async def _run_to_end(plan: Plan, workflow: DeploymentWorkflow) -> DeploymentState:
    events = await asyncio.to_thread(workflow.ports.ledger.events, plan.deployment)
    await _record_resume(plan, events, workflow)
    if times_stuck := sum(event.state is DeploymentState.STUCK for event in events):
        attempt = f"{TURN_BACK_WORKFLOW}-{times_stuck}"
        id_ = f"{plan.deployment}/{attempt}"
        return DeploymentState(
            await workflow.engine.run_workflow(TURN_BACK_WORKFLOW, id_, plan.deployment, f"{attempt}/")
        )
    return DeploymentState(await workflow.engine.run_workflow(DEPLOYMENT_WORKFLOW, plan.deployment, plan.deployment))


async def _record_resume(plan: Plan, events: Sequence[Event], workflow: DeploymentWorkflow) -> None:
    """Record that the deployment is resumed, if it had started."""
    if any(event.state is DeploymentState.RUNNING for event in events):
        count = sum(event.kind is EventKind.RESUMED for event in events) + 1
        await workflow.get_run(plan).record(f"resumed-{count}", EventKind.RESUMED, "resumed")


async def _poll_requests(plan: Plan, workflow: DeploymentWorkflow) -> None:
    while not await _check_for_cancel(plan, workflow):  # noqa: ASYNC110 (the request comes from another process)
        await asyncio.sleep(REQUEST_POLL_INTERVAL)


async def _check_for_cancel(plan: Plan, workflow: DeploymentWorkflow) -> bool:
    """Halt the run if there is a request to cancel. Returns whether there is one."""
    request = await asyncio.to_thread(workflow.ports.ledger.pending_request, plan.deployment)
    if request:
        what = f"cancelled: {request[1]}" if request[1] else "cancelled"
        workflow.get_run(plan).halt.set(Failure(Chapter.PLAN, what, cause=FailureCause.CANCELLED))
    return request is not None
