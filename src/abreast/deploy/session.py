"""What a deploying command does around the story: wait for the environment, finish what was begun, then act."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import Environment, Plan
from abreast.core.states import State
from abreast.deploy.course import blocked
from abreast.deploy.engine import Engine
from abreast.deploy.planning import Request, propose
from abreast.deploy.ports import Ports
from abreast.deploy.story import Story
from abreast.deploy.teller import carry_out
from abreast.ledger.interface import Deployment
from abreast.ledger.lock import EnvironmentLock

WAIT = 0.1
"""Seconds between two tries for the lock."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One person's command at one environment.

    ``new_id`` gives ids that sort by time; ``say`` tells a line; ``begin`` is told each deployment that
    starts or goes on here, so that it can be shown.
    """

    ports: Ports
    lock: EnvironmentLock
    engine: Callable[[], Engine]
    new_id: Callable[[], str]
    say: Callable[[str], None]
    begin: Callable[[Plan], None]


async def deploy(desk: Desk, project: str, environment: Environment, request: Request) -> State | None:
    """Carry the request out and return the state it came to; None when there was nothing to do.

    First finishes a deployment that was cut off. Raises RefusedError when an operator holds the
    environment or a newer deployment took this one's place, StateError when it cannot be recorded.
    """
    async with held(desk, environment.name), _telling(desk) as story:
        await _finish_what_was_begun(desk, environment.name, story)
        plan = await propose(desk.ports, project, environment, request)
        blocked({part.name: part.data for part in plan.services if part.data})
        if not plan.changes and not plan.data:
            return None
        return await _carry_out(desk, await asyncio.to_thread(_numbered, desk, plan), story)


async def resume(desk: Desk, deployment: Deployment) -> State:
    """Go on with a deployment that was cut off, or try a stuck turn-back again."""
    async with held(desk, deployment.environment), _telling(desk) as story:
        plan = await asyncio.to_thread(desk.ports.ledger.stored_plan, deployment.id)
        return await _carry_out(desk, plan, story)


async def cancel(desk: Desk, deployment: Deployment, reason: str) -> State | None:
    """Ask a deployment to turn back; carries that out here if no process does, and returns its state then.

    Raises UsageError when it is over.
    """
    if deployment.state.final:
        raise UsageError(
            f"deployment {deployment.id} is over: {deployment.state}",
            next=f"abreast rollback --env {deployment.environment} --reason …",
        )
    await asyncio.to_thread(desk.ports.ledger.ask, deployment.id, "cancel", reason)
    with desk.lock.try_hold({"deployment": deployment.id}) as free:
        pass
    return await resume(desk, deployment) if free else None


@asynccontextmanager
async def held(desk: Desk, environment: str) -> AsyncIterator[None]:
    """Hold the environment for the block; waits for whoever has it, and says who that is."""
    ticket = desk.new_id()
    told = ""
    desk.lock.queue(ticket)
    while True:
        _refuse_if_not_ours(desk, environment, ticket)
        with desk.lock.try_hold({"deployment": ticket, "since": desk.ports.now()}) as free:
            if free:
                desk.lock.served(ticket)
                yield
                return
        holder = (desk.lock.holder() or {}).get("pid", "?")
        if holder != told:
            desk.say(f"waiting for {environment}: another command holds it (process {holder})")
            told = holder
        await asyncio.sleep(WAIT)


def _refuse_if_not_ours(desk: Desk, environment: str, ticket: str) -> None:
    if operator := desk.lock.operator():
        raise RefusedError(
            f"{environment} is locked by {operator.get('by') or '?'} since {operator.get('since')}: "
            f"{operator.get('reason')}",
            next=f"abreast unlock --env {environment}",
        )
    if desk.lock.replaced_by(ticket):
        raise RefusedError(
            f"a newer command waits for {environment} and took this one's place; nothing was touched",
            next=f"abreast status --env {environment}",
        )


@asynccontextmanager
async def _telling(desk: Desk) -> AsyncIterator[Story]:
    engine = desk.engine()
    story = Story(desk.ports, engine)
    await engine.launch()
    yield story
    await engine.close()


async def _finish_what_was_begun(desk: Desk, environment: str, story: Story) -> None:
    """Bring deployments to their end whose process is gone; those that never started are dropped."""
    deployments = await asyncio.to_thread(desk.ports.ledger.deployments, environment)
    for deployment in deployments:
        if deployment.state is State.STUCK:
            raise RefusedError(
                f"deployment {deployment.id} is stuck half-way back; nothing new goes out over it",
                next=f"abreast resume {deployment.id}",
            )
        if not deployment.state.final and deployment.state is not State.WAITING:
            desk.say(f"deployment {deployment.id} was cut off; finishing it first")
            plan = await asyncio.to_thread(desk.ports.ledger.stored_plan, deployment.id)
            await _carry_out(desk, plan, story)


def _numbered(desk: Desk, plan: Plan) -> Plan:
    """Give the plan its id and its release, and record it."""
    release = plan.release or desk.ports.ledger.reserve(plan.project, plan.commit)
    numbered = replace(plan, deployment=desk.new_id(), release=release)
    desk.ports.ledger.plan(numbered)
    return numbered


async def _carry_out(desk: Desk, plan: Plan, story: Story) -> State:
    desk.begin(plan)
    return await carry_out(plan, story)
