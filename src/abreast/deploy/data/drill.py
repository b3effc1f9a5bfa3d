"""Disaster recovery on a copy: restore the newest backup, migrate it, start the live version on it, check it."""

import asyncio
from datetime import datetime

from abreast.core.backups import Backup
from abreast.core.events import EventKind
from abreast.core.model import Chapter, Failure
from abreast.core.plan import ServicePlan
from abreast.core.wording import counted
from abreast.database.interface import Database
from abreast.deploy.data.backup import (
    DRILL_COPY,
    database_copy,
    newest_recovery_point,
    record_note,
    restore_workdir,
    verify_backup,
)
from abreast.deploy.data.candidate_check import check_on_database_copy
from abreast.deploy.data.migration_runner import run_migrations
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart


async def run_drill(run: Run, part: ServicePlan) -> Failure | None:
    """Recover the service's database on a copy. Records the recovery time and the recovery point."""
    recovered = await run.run_chapter(Chapter.RESTORE, lambda: _recover_copy(run, part), Backup, part.name)
    if isinstance(recovered, Failure):
        return recovered
    return await run.run_chapter(Chapter.CHECK, lambda: _start_and_measure(run, part, recovered), None, part.name)


async def _start_and_measure(run: Run, part: ServicePlan, recovered: Backup) -> Failure | None:
    """Start the live version on the copy, and compare time and data loss with the objectives."""
    if failure := await _start_on_copy(run, part):
        return failure
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    began = next(event.at for event in events if event.kind is EventKind.STARTED and event.chapter is Chapter.RESTORE)
    seconds = (datetime.fromisoformat(run.ports.now()) - datetime.fromisoformat(began)).total_seconds()
    return await _record_measurement(run, part, recovered, seconds)


async def _recover_copy(run: Run, part: ServicePlan) -> Backup:
    """Restore the newest state that there is into a copy and migrate it. Raises DatabaseError."""
    chosen = await asyncio.to_thread(newest_recovery_point, run.ports, run.plan.environment, part.name)
    copy, workdir = _drill_copy(run, part), restore_workdir(run.ports, run.plan.deployment)
    restored = await asyncio.to_thread(verify_backup, run.ports, chosen, copy, workdir)
    await record_note(run, part, Chapter.RESTORE, f"{chosen.name}: {counted(sum(restored.stats.rows.values()), 'row')}")
    if part.service.database and part.service.database.has_migrations:
        await run_migrations(run, part, None, copy, Chapter.RESTORE)
    return chosen


async def _start_on_copy(run: Run, part: ServicePlan) -> Failure | None:
    live = part.previous
    if live is None:
        return None
    built = ReleasePart(part.name, live.commit, live.artifact, live.definition)
    return await check_on_database_copy(run, part, built, _drill_copy(run, part))


def _drill_copy(run: Run, part: ServicePlan) -> Database:
    return database_copy(run.ports.open_database(part.service), DRILL_COPY, run.plan.deployment)


async def _record_measurement(run: Run, part: ServicePlan, backup: Backup, seconds: float) -> Failure | None:
    """Record the recovery time and the recovery point. Returns a failure if an objective was missed."""
    data = part.database_plan
    assert data
    age = (datetime.fromisoformat(run.ports.now()) - datetime.fromisoformat(backup.at)).total_seconds()
    figures = {"rto": seconds, "rpo": age, "rto_objective": data.rto, "rpo_objective": data.rpo, "backup": backup.name}
    rto, rpo = f"{seconds:.1f} s{_objective_text(data.rto)}", f"{age:.0f} s{_objective_text(data.rpo)}"
    text = f"recovery time {rto}, recovery point {rpo} ({backup.name})"
    await run.record(
        f"{part.name}/measured", EventKind.MEASURED, text, service=part.name, chapter=Chapter.CHECK, data=figures
    )
    for name, measured, objective in (("recovery time", seconds, data.rto), ("recovery point", age, data.rpo)):
        if objective is not None and measured > objective:
            return Failure(
                Chapter.CHECK, f"the {name} is {measured:.0f} s; the objective is {objective:.0f} s", part.name
            )
    return None


def _objective_text(objective: float | None) -> str:
    return "" if objective is None else f" of {objective:.0f} s"
