"""Deploy, resume: lock the environment, finish interrupted deployments, then execute."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from abreast.core.environment import Environment
from abreast.core.errors import DatabaseError, PlatformError, RefusedError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.identity import id_token_refusal
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.proposals import Proposal, ProposalEnd, ProposalState, comparable
from abreast.core.states import DeploymentState
from abreast.deploy.cancellation import request_cancel, running_deployment
from abreast.deploy.chapters.approval import AwaitsApprovalError
from abreast.deploy.data.maintenance import refuse_without_maintenance
from abreast.deploy.data.plan import refuse_breaking_changes
from abreast.deploy.leftovers import find_leftovers, has_copies, remove_copies, remove_leftovers
from abreast.deploy.notifications import keep_informed
from abreast.deploy.planning import DeployRequest, plan_deployment
from abreast.deploy.proposals import end_proposal, refuse_ended, refuse_other_plan
from abreast.deploy.refusals import Readiness, is_settled, stuck_error
from abreast.deploy.runtime.attestations import refuse_unattested
from abreast.deploy.runtime.deploy_context import DeployContext
from abreast.deploy.runtime.engine import WorkflowEngine
from abreast.deploy.runtime.freezes import refuse_frozen
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_history import refuse_kept_out
from abreast.ledger.interface import Deployment
from abreast.ledger.lock import EnvironmentLock
from abreast.machine.lazy_modules import lazy_module

if TYPE_CHECKING:
    from abreast.deploy import executor, workflow
else:
    executor, workflow = lazy_module("abreast.deploy.executor"), lazy_module("abreast.deploy.workflow")

_UNBEGUN = frozenset({DeploymentState.WAITING, DeploymentState.APPROVING})
"""The states of a deployment that has changed nothing yet."""

_URGENT = frozenset({DeploymentKind.ROLLBACK, DeploymentKind.RESTORE})
"""The kinds that routine does not displace while they wait: users have something bad."""

PATIENCE_AT_END = 150.0
"""Seconds to wait for the home of the ledger when a deployment has ended."""

LOCK_RETRY_INTERVAL = 0.1
"""Seconds between two attempts to take the lock."""


async def deploy(
    context: DeployContext, project: str, environment: Environment, request: DeployRequest
) -> DeploymentState | None:
    """Plan and execute the request. Returns the final state, None if there was nothing to do.

    Finishes an interrupted deployment first; an emergency has it turned back, and one that runs. Raises RefusedError if
    an operator locked the environment or a command that goes first waits for it, StateError if the deployment cannot be
    recorded.
    """
    _refuse_unproven(context, environment, request)
    beside = await asyncio.to_thread(_next_version, context, project, request)
    if request.emergency:
        await asyncio.to_thread(_request_turn_back, context, environment.name, request.reason)
    async with hold_environment(context, environment.name, request.kind, beside):
        await _finish_interrupted(context, environment.name)
        await asyncio.to_thread(context.ports.servers.make, environment.services)
        await _remove_leftovers(context, environment)
        plan = await plan_deployment(context.ports, project, environment, request)
        if request.proposal:
            await asyncio.to_thread(_check_proposal, context, request.proposal, plan)
        if not plan.superseded:
            refuse_breaking_changes({part.name: part.database_plan for part in plan.services if part.database_plan})
            refusals = (
                *refuse_unattested(context.ports, plan, is_deploying=True),
                *refuse_frozen(plan, context.ports.now()),
                *await asyncio.to_thread(refuse_kept_out, context.ports.ledger, plan),
                *await refuse_without_maintenance(context.ports, plan),
            )
            Readiness(refusals).check()
        if plan.is_empty:
            return None
        recorded = await asyncio.to_thread(_begin, context, request, plan)
        if plan.superseded:
            await asyncio.to_thread(_record_superseded, context, recorded)
        return await _execute(context, recorded)


async def is_carried_out(ports: Ports, lock: EnvironmentLock, environment: Environment, plan: Plan) -> bool:
    """Return whether a plan needs no deployment: it is settled, and killed deployments left nothing to remove.

    Raises StateError if the home of the ledger does not answer.
    """
    if not await asyncio.to_thread(is_settled, ports.ledger, lock, plan):
        return False
    databases = [service for service in environment.services if service.database]
    try:
        versions = [await find_leftovers(ports, environment.name, name) for name in _platforms(environment)]
        copies = [await asyncio.to_thread(has_copies, ports, service) for service in databases]
    except (PlatformError, DatabaseError, UsageError):
        return False  # the deployment tells what could not be looked at
    return not any((*versions, *copies))


async def resume(context: DeployContext, deployment: Deployment) -> DeploymentState:
    """Resume an interrupted deployment, or retry a stuck turn-back. Returns the final state."""
    async with hold_environment(context, deployment.environment, deployment.kind):
        return await _execute_rest(context, deployment)


async def accept_as_it_is(context: DeployContext, deployment: Deployment, accepted: str) -> DeploymentState:
    """End a stuck deployment: turn back what can be turned back, leave the rest as it is. Returns the final state.

    ``accepted`` says who accepts that and why. Raises UsageError if the deployment is not stuck.
    """
    async with hold_environment(context, deployment.environment, deployment.kind):
        ledger = context.ports.ledger
        latest = await asyncio.to_thread(ledger.deployment, deployment.id)
        if latest.state is not DeploymentState.STUCK:
            raise UsageError(
                f"deployment {latest.id} is not stuck: it is {latest.state}",
                next="abreast history" if latest.state.is_final else f"abreast resume {latest.id}",
            )
        event = Event(latest.id, "accepted", EventKind.ACCEPTED, accepted)
        await asyncio.to_thread(ledger.append_events, event)
        return await _execute_rest(context, latest)


@asynccontextmanager
async def hold_environment(
    context: DeployContext, environment: str, kind: DeploymentKind, beside: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    """Hold the environment's lock for a deployment of a kind. Waits for the lock, and reports its holder.

    ``beside`` appends to the ledger what may go there together with the lock.
    """
    ticket = context.lock.join_queue(is_urgent=kind in _URGENT)
    reported_holder = ""
    while True:
        context.ports.ledger.check_operator_lock(environment, is_repair=kind is not DeploymentKind.DEPLOY)
        _refuse_if_overtaken(context, environment, ticket)
        with context.lock.try_acquire({"since": context.ports.now()}, beside) as free:
            if free:
                context.lock.leave_queue(ticket)
                yield
        if free:
            await _publish_end(context)
            return
        holder = context.lock.holder_pid()
        if holder != reported_holder:
            context.report(f"waiting for {environment}: process {holder} holds its lock")
            reported_holder = holder
        await asyncio.sleep(LOCK_RETRY_INTERVAL)


async def _publish_end(context: DeployContext) -> None:
    """Wait until others can read how it ended, and that the environment is free."""
    if away := await asyncio.to_thread(context.ports.ledger.flush, PATIENCE_AT_END):
        context.report(f"recorded on this machine only: {away}. the next command here sends it")


def _refuse_if_overtaken(context: DeployContext, environment: str, ticket: int) -> None:
    if first := context.lock.who_goes_first(ticket):
        raise RefusedError(
            f"{first} is waiting for {environment}, so this one gave up; nothing was changed",
            next=f"abreast status --env {environment}",
        )


def _refuse_unproven(context: DeployContext, environment: Environment, request: DeployRequest) -> None:
    """Raise RefusedError if the environment demands an ID token of who puts a release there, and there is none."""
    if not environment.needs_id_token or request.emergency or not request.kind.is_releasing:
        return
    if why := id_token_refusal(context.ports.identity()):
        raise RefusedError(
            f"{environment.name} has `identity: id-token`, and {why}",
            need="a new run of a job that may have an ID token; an emergency rollback goes on without",
            next="abreast docs environment",
        )


def _request_turn_back(context: DeployContext, environment: str, reason: str) -> None:
    """Ask for the deployment to be turned back that an emergency would wait for. A rollback goes on to its end."""
    running = running_deployment(context.ports.ledger, context.lock, environment)
    if running and running.kind is not DeploymentKind.ROLLBACK and running.state is not DeploymentState.STUCK:
        context.report(f"deployment {running.id} is turned back first")
        request_cancel(context.ports.ledger, running, reason)


async def _finish_interrupted(context: DeployContext, environment: str) -> None:
    """Finish deployments whose process died. Raises RefusedError if one is stuck."""
    deployments = await asyncio.to_thread(context.ports.ledger.deployments, environment)
    for deployment in deployments:
        if deployment.state is DeploymentState.STUCK:
            raise stuck_error(deployment)
        if not deployment.state.is_final and deployment.state not in _UNBEGUN:
            context.report(f"deployment {deployment.id} was interrupted; finishing it first")
            await _execute_rest(context, deployment)


def _check_proposal(context: DeployContext, proposal: Proposal, plan: Plan) -> None:
    """Raise RefusedError unless the proposal, as it is now that nobody else deploys, is open and of this plan."""
    known = context.ports.ledger.proposals(proposal.environment)
    refuse_ended(next(each for each in known if each.key == proposal.key), context.ports.now())
    refuse_other_plan(proposal, plan)


def _begin(context: DeployContext, request: DeployRequest, plan: Plan) -> Plan:
    """Record the plan, and return it with its id. What it was proposed by is carried out, and cannot be again.

    If a deployment that waits for approval would do the same, return its plan. Any other that waits is ended: an
    approval holds for one plan, and if anything in it changes, it has to be asked for again.
    """
    ledger = context.ports.ledger
    found = ledger.deployments(plan.environment)
    waiting = [ledger.stored_plan(each.id) for each in found if each.state is DeploymentState.APPROVING]
    same = next((stored for stored in waiting if _does_the_same(stored, plan)), None)
    id_ = same.deployment if same else context.new_id()
    if request.proposal:
        end = ProposalEnd(ProposalState.APPROVED, context.ports.operator(), request.reason, id_)
        end_proposal(ledger, request.proposal, end)
    for other in waiting:
        if other is not same:
            why = f"a deployment of {plan.commit[:7]} took its place before it was approved"
            state = DeploymentState.SUPERSEDED
            ledger.append_events(Event(other.deployment, "superseded", EventKind.STATE, why, state=state))
    return same or _record_plan(context, plan, id_)


def _does_the_same(stored: Plan, plan: Plan) -> bool:
    """Whether a recorded plan and a new one would do the same to the same services."""
    return comparable(replace(stored, release=plan.release)) == comparable(plan)


async def _remove_leftovers(context: DeployContext, environment: Environment) -> None:
    """Remove what killed processes left. What cannot be looked at now is looked at by the next deployment."""
    ports, removed = context.ports, list[str]()
    removals: list[tuple[str, Callable[[], Awaitable[list[str]]]]] = [
        *((name, partial(remove_leftovers, ports, environment.name, name)) for name in _platforms(environment)),
        *(
            (f"the database of {service.name}", partial(asyncio.to_thread, remove_copies, ports, service))
            for service in environment.services
            if service.database
        ),
    ]
    for where, remove in removals:
        try:
            removed += await remove()
        except (PlatformError, DatabaseError, UsageError) as error:
            context.report(f"leftovers of killed deployments were not looked for at {where}: {error.what}")
    if removed:
        context.report(f"removed leftovers of killed deployments: {', '.join(removed)}")


def _platforms(environment: Environment) -> list[str]:
    return sorted({service.platform for service in environment.services})


def _next_version(context: DeployContext, project: str, request: DeployRequest) -> Callable[[], None] | None:
    """Return what appends a version for the current commit to the ledger, None if no new release is requested."""
    if request.kind is not DeploymentKind.DEPLOY or request.release:
        return None
    return partial(context.ports.ledger.append_next_version, project, context.ports.source.resolve_commit())


def _record_plan(context: DeployContext, plan: Plan, id_: str) -> Plan:
    """Record the plan, with its id and a release, and return it."""
    release = plan.release or context.ports.ledger.reserve_version(plan.project, plan.commit)
    numbered = replace(plan, deployment=id_, release=release)
    context.ports.ledger.record_plan(numbered)
    return numbered


def _record_superseded(context: DeployContext, plan: Plan) -> None:
    """Record that a deployment ended before it began, since its commit must not go live any more."""
    event = Event(plan.deployment, "superseded", EventKind.STATE, plan.superseded, state=DeploymentState.SUPERSEDED)
    context.ports.ledger.append_events(event)


async def _execute_rest(context: DeployContext, deployment: Deployment) -> DeploymentState:
    """Execute a recorded deployment from its last recorded step to its end."""
    plan = await asyncio.to_thread(context.ports.ledger.stored_plan, deployment.id)
    await asyncio.to_thread(context.ports.servers.make, [part.service for part in plan.services])
    return await _execute(context, plan)


async def _execute(context: DeployContext, plan: Plan) -> DeploymentState:
    context.on_start(plan)
    engine = WorkflowEngine(context.ports.ledger)
    async with keep_informed(context.ports, plan, context.report):
        try:
            state = await executor.execute_plan(plan, workflow.DeploymentWorkflow(context.ports, engine))
        except AwaitsApprovalError as waiting:
            context.report(waiting.what)
            state = DeploymentState.APPROVING
    await asyncio.to_thread(_record_output, context.ports, plan)
    return state


def _record_output(ports: Ports, plan: Plan) -> None:
    """Record what the deployment's commands printed here, so that it can be read on every machine."""
    ports.ledger.record_output(plan.deployment, sorted((ports.folders.logs / plan.deployment).glob("*.log")))
