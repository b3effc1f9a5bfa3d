"""What a deploying command does around the story: wait for the environment, finish what was begun, then act."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import Environment, Plan
from abreast.core.states import DeploymentState
from abreast.deploy.data.plan import refuse_breaking_changes
from abreast.deploy.executor import execute_plan
from abreast.deploy.planning import DeployRequest, plan_deployment
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.workflow import DeploymentWorkflow
from abreast.ledger.interface import Deployment
from abreast.ledger.lock import EnvironmentLock

LOCK_RETRY_INTERVAL = 0.1
"""Seconds between two tries for the lock."""


@dataclass(frozen=True, slots=True)
class DeployContext:
    """One person's command at one environment.

    ``new_id`` gives ids that sort by time; ``say`` tells a line; ``begin`` is told each deployment that
    starts or goes on here, so that it can be shown.
    """

    ports: Ports
    lock: EnvironmentLock
    engine_factory: Callable[[], WorkflowEngine]
    new_id: Callable[[], str]
    report: Callable[[str], None]
    on_start: Callable[[Plan], None]


async def deploy(
    context: DeployContext, project: str, environment: Environment, request: DeployRequest
) -> DeploymentState | None:
    """Carry the request out and return the state it came to; None when there was nothing to do.

    First finishes a deployment that was cut off. Raises RefusedError when an operator holds the
    environment or a newer deployment took this one's place, StateError when it cannot be recorded.
    """
    async with hold_environment(context, environment.name), _open_workflow(context) as workflow:
        await _finish_interrupted(context, environment.name, workflow)
        plan = await plan_deployment(context.ports, project, environment, request)
        refuse_breaking_changes({part.name: part.database_plan for part in plan.services if part.database_plan})
        if not plan.traffic_changes and not plan.database_changes:
            return None
        return await _execute(context, await asyncio.to_thread(_record_plan, context, plan), workflow)


async def resume(context: DeployContext, deployment: Deployment) -> DeploymentState:
    """Go on with a deployment that was cut off, or try a stuck turn-back again."""
    async with hold_environment(context, deployment.environment), _open_workflow(context) as workflow:
        plan = await asyncio.to_thread(context.ports.ledger.stored_plan, deployment.id)
        return await _execute(context, plan, workflow)


async def cancel(context: DeployContext, deployment: Deployment, reason: str) -> DeploymentState | None:
    """Ask a deployment to turn back; carries that out here if no process does, and returns its state then.

    Raises UsageError when it is over.
    """
    if deployment.state.is_final:
        raise UsageError(
            f"deployment {deployment.id} is over: {deployment.state}",
            next=f"abreast rollback --env {deployment.environment} --reason …",
        )
    await asyncio.to_thread(context.ports.ledger.request, deployment.id, "cancel", reason)
    with context.lock.try_acquire({"deployment": deployment.id}) as free:
        pass
    return await resume(context, deployment) if free else None


@asynccontextmanager
async def hold_environment(context: DeployContext, environment: str) -> AsyncIterator[None]:
    """Hold the environment for the block; waits for whoever has it, and says who that is."""
    ticket = context.new_id()
    reported_holder = ""
    context.lock.join_queue(ticket)
    while True:
        _refuse_if_locked_out(context, environment, ticket)
        with context.lock.try_acquire({"deployment": ticket, "since": context.ports.now()}) as free:
            if free:
                context.lock.leave_queue(ticket)
                yield
                return
        holder = (context.lock.holder() or {}).get("pid", "?")
        if holder != reported_holder:
            context.report(f"waiting for {environment}: another command holds it (process {holder})")
            reported_holder = holder
        await asyncio.sleep(LOCK_RETRY_INTERVAL)


def _refuse_if_locked_out(context: DeployContext, environment: str, ticket: str) -> None:
    if operator := context.lock.operator_lock():
        raise RefusedError(
            f"{environment} is locked by {operator.get('by') or '?'} since {operator.get('since')}: "
            f"{operator.get('reason')}",
            next=f"abreast unlock --env {environment}",
        )
    if context.lock.newer_ticket(ticket):
        raise RefusedError(
            f"a newer command waits for {environment} and took this one's place; nothing was touched",
            next=f"abreast status --env {environment}",
        )


@asynccontextmanager
async def _open_workflow(context: DeployContext) -> AsyncIterator[DeploymentWorkflow]:
    engine = context.engine_factory()
    workflow = DeploymentWorkflow(context.ports, engine)
    await engine.launch()
    yield workflow
    await engine.close()


async def _finish_interrupted(context: DeployContext, environment: str, workflow: DeploymentWorkflow) -> None:
    """Bring deployments to their end whose process is gone; those that never started are dropped."""
    deployments = await asyncio.to_thread(context.ports.ledger.deployments, environment)
    for deployment in deployments:
        if deployment.state is DeploymentState.STUCK:
            raise RefusedError(
                f"deployment {deployment.id} is stuck half-way back; nothing new goes out over it",
                next=f"abreast resume {deployment.id}",
            )
        if not deployment.state.is_final and deployment.state is not DeploymentState.WAITING:
            context.report(f"deployment {deployment.id} was cut off; finishing it first")
            plan = await asyncio.to_thread(context.ports.ledger.stored_plan, deployment.id)
            await _execute(context, plan, workflow)


def _record_plan(context: DeployContext, plan: Plan) -> Plan:
    """Give the plan its id and its release, and record it."""
    release = plan.release or context.ports.ledger.reserve_version(plan.project, plan.commit)
    numbered = replace(plan, deployment=context.new_id(), release=release)
    context.ports.ledger.record_plan(numbered)
    return numbered


async def _execute(context: DeployContext, plan: Plan, workflow: DeploymentWorkflow) -> DeploymentState:
    context.on_start(plan)
    return await execute_plan(plan, workflow)
