"""Carries a deployment out in this process, from wherever it stands, while it listens for requests."""

import asyncio

from abreast.core.events import What
from abreast.core.model import Cause, Chapter, Failure, Plan
from abreast.core.states import State
from abreast.deploy.story import DEPLOYMENT, WAY_BACK, Story

LISTEN = 0.2
"""Seconds between two looks for a request such as ``abreast cancel``."""


async def carry_out(plan: Plan, story: Story) -> State:
    """Return the state that the deployment came to.

    Raises StateError when it could not be recorded (it can be resumed), UsageError when the value of a
    secret is missing (nothing was touched).
    """
    fingerprints = {
        f"{part.name}/{name}": story.ports.fingerprint(secret)
        for part in plan.rollouts
        for name, secret in story.ports.reveal(part.service).items()
    }
    await asyncio.to_thread(story.ports.ledger.seen, plan.environment, fingerprints)
    await _hear(plan, story)
    listening = asyncio.ensure_future(_listen(plan, story))
    try:
        return await _go_on(plan, story)
    finally:
        listening.cancel()


async def _go_on(plan: Plan, story: Story) -> State:
    deployment = await asyncio.to_thread(story.ports.ledger.deployment, plan.deployment)
    if deployment.state.final:
        return deployment.state
    count = await _taken_up(plan, story)
    if deployment.state is State.STUCK:
        attempt = f"{WAY_BACK}-{count}"
        id_ = f"{plan.deployment}/{attempt}"
        return State(await story.engine.run(WAY_BACK, id_, plan.deployment, f"{attempt}/"))
    return State(await story.engine.run(DEPLOYMENT, plan.deployment, plan.deployment))


async def _taken_up(plan: Plan, story: Story) -> int:
    """Record that a deployment begun before goes on here; returns how often that was."""
    events = await asyncio.to_thread(story.ports.ledger.events, plan.deployment)
    count = sum(event.what is What.RESUMED for event in events) + 1
    if any(event.state is State.RUNNING for event in events):
        await story.run(plan).tell(f"resumed-{count}", What.RESUMED, "taken up again")
    return count


async def _listen(plan: Plan, story: Story) -> None:
    while not await _hear(plan, story):  # noqa: ASYNC110 (the request comes from another process)
        await asyncio.sleep(LISTEN)


async def _hear(plan: Plan, story: Story) -> bool:
    """Turn a request to cancel, if there is one, into a halt: everything that can still be stopped sees it."""
    asked = await asyncio.to_thread(story.ports.ledger.asked, plan.deployment)
    if asked:
        what = f"cancelled: {asked[1]}" if asked[1] else "cancelled"
        story.run(plan).halt.set(Failure(Chapter.PLAN, what, cause=Cause.CANCELLED))
    return asked is not None
