"""Watch: the new versions have users now; look at all of them until the settle time has passed."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping

from abreast.core.model import Chapter, Failure, ServicePlan, Version
from abreast.core.trial import Look, Trial, Verdict
from abreast.deploy.rollout import look_at, with_users
from abreast.deploy.run import Run


async def watch(run: Run, names: Collection[str], versions: Mapping[str, Version]) -> list[Failure]:
    """Return what failed among the named services, as soon as one fails; empty after the settle time."""
    parts = [part for part in run.plan.rollouts if part.name in names]
    over = asyncio.Event()
    watching = [asyncio.ensure_future(_one(run, part, with_users(versions[part.name]), over)) for part in parts]
    cancelled = asyncio.ensure_future(run.halt.wait())
    timer = asyncio.ensure_future(asyncio.sleep(run.plan.settle))
    await asyncio.wait({timer, cancelled, *watching}, return_when=asyncio.FIRST_COMPLETED)
    over.set()
    found = await asyncio.gather(*watching)
    timer.cancel()
    cancelled.cancel()
    if stopping := run.halt.stopping(Chapter.WATCH, None):
        return [stopping]
    return [failure for failure in found if failure]


async def _one(run: Run, part: ServicePlan, version: Version, over: asyncio.Event) -> Failure | None:
    """Look until the watch is over, and then until it is not on its way to fail; it begins healthy."""
    trial = Trial(start=0.0, hold=float("inf"), was_good=True)
    while True:
        last = over.is_set()
        seen, look = await look_at(run, part, version)
        trial = trial.after(Look(0, look.good, look.why, look.final))
        if trial.verdict is Verdict.FAILED:
            return Failure(Chapter.WATCH, trial.why, part.name, seen.log_tail)
        if last and look.good:
            return None
        with contextlib.suppress(TimeoutError):
            await (asyncio.sleep(run.pause) if last else asyncio.wait_for(over.wait(), run.pause))
