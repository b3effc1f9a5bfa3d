"""The disaster, on a copy: restore the newest backup, migrate it, start what is live on it, and look at its health."""

import asyncio
from datetime import datetime

from abreast.core.backups import Backup
from abreast.core.events import What
from abreast.core.model import Chapter, Failure, ServicePlan
from abreast.database.interface import Database
from abreast.deploy.backup import DRILL, copy_of, room_of, tell, verify
from abreast.deploy.migrator import run_all
from abreast.deploy.rollout import healthy_on
from abreast.deploy.run import Run
from abreast.ledger.interface import Part


async def drill(run: Run, part: ServicePlan) -> Failure | None:
    """Recover the service's database on a copy and record how long it took, and what would have been lost."""
    recovered = await run.chapter(Chapter.RESTORE, lambda: _recover(run, part), Backup, part.name)
    if isinstance(recovered, Failure):
        return recovered
    return await run.chapter(Chapter.CHECK, lambda: _checked(run, part, recovered), None, part.name)


async def _checked(run: Run, part: ServicePlan, recovered: Backup) -> Failure | None:
    """Start what is live on the copy, and hold what it took against the objectives."""
    if failure := await _start(run, part):
        return failure
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    began = next(one.at for one in events if one.what is What.STARTED and one.chapter is Chapter.RESTORE)
    took = (datetime.fromisoformat(run.ports.now()) - datetime.fromisoformat(began)).total_seconds()
    return await _measured(run, part, recovered, took)


async def _recover(run: Run, part: ServicePlan) -> Backup:
    """Restore the newest verified backup into a copy, and bring that up to date; raises DatabaseError."""
    chosen = await asyncio.to_thread(run.ports.vault.one, run.plan.environment, part.name)
    copy = _copy(run, part)
    await asyncio.to_thread(verify, run.ports, chosen, copy, room_of(run.ports, run.plan.deployment))
    await tell(run, part, Chapter.RESTORE, f"{chosen.name}: {sum(chosen.rows.values())} rows")
    if part.service.database and part.service.database.migrates:
        await run_all(run, part, None, copy, Chapter.RESTORE)
    return chosen


async def _start(run: Run, part: ServicePlan) -> Failure | None:
    live = part.previous
    if live is None:
        return None
    made = Part(part.name, live.commit, live.artifact, live.definition)
    return await healthy_on(run, part, made, _copy(run, part))


def _copy(run: Run, part: ServicePlan) -> Database:
    return copy_of(run.ports.database(part.service), DRILL, run.plan.deployment)


async def _measured(run: Run, part: ServicePlan, used: Backup, took: float) -> Failure | None:
    """Record the recovery time and point; returns the objective that is missed."""
    assert part.data
    data, age = part.data, (datetime.fromisoformat(run.ports.now()) - datetime.fromisoformat(used.at)).total_seconds()
    figures = {"rto": took, "rpo": age, "rto_objective": data.rto, "rpo_objective": data.rpo, "backup": used.name}
    text = f"recovery time {took:.1f} s{_of(data.rto)}, recovery point {age:.0f} s{_of(data.rpo)} ({used.name})"
    await run.tell(f"{part.name}/measured", What.MEASURED, text, service=part.name, chapter=Chapter.CHECK, data=figures)
    for name, found, objective in (("recovery time", took, data.rto), ("recovery point", age, data.rpo)):
        if objective is not None and found > objective:
            return Failure(Chapter.CHECK, f"the {name} is {found:.0f} s; the objective is {objective:.0f} s", part.name)
    return None


def _of(objective: float | None) -> str:
    return "" if objective is None else f" of {objective:.0f} s"
