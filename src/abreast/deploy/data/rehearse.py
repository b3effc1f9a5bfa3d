"""Rehearse: run the migration on a restored copy, and compare the schema before and after."""

import asyncio
from collections.abc import Awaitable, Callable

from abreast.core.backups import Backup
from abreast.core.events import EventKind
from abreast.core.model import BreakingChangePolicy, Chapter, Failure, ServicePlan
from abreast.core.schema.tables import Tables, breaking_changes, schema_diff
from abreast.database.interface import Database
from abreast.deploy.data.backup import REHEARSAL_COPY, VERIFIED_COPY, back_up_and_verify, database_copy, record_note
from abreast.deploy.data.migration_runner import run_migrations
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart

CandidateCheck = Callable[[Database], Awaitable[Failure | None]]
"""Starts the candidate on a copy of the database and checks its health. Returns the failure."""


async def back_up_and_rehearse(run: Run, part: ServicePlan) -> Failure | None:
    """Take a verified backup and rehearse on its restored copy. The real database stays unchanged."""
    saved = await run.run_chapter(Chapter.BACKUP, lambda: back_up_and_verify(run, part), Backup, part.name)
    if isinstance(saved, Failure):
        return saved
    return await run.run_chapter(Chapter.REHEARSE, lambda: rehearse(run, part, None, None), None, part.name)


async def rehearse(
    run: Run, part: ServicePlan, built: ReleasePart | None, check_candidate: CandidateCheck | None
) -> Failure | None:
    """Migrate the restored copy. Records durations, locks and schema changes; then checks the candidate there."""
    database = run.ports.open_database(part.service)
    pristine = database_copy(database, VERIFIED_COPY, run.plan.deployment)
    copy = database_copy(database, REHEARSAL_COPY, run.plan.deployment)
    await asyncio.to_thread(copy.copy_from, pristine)
    before, real = await asyncio.to_thread(copy.tables), await asyncio.to_thread(database.tables)
    await run_migrations(run, part, built, copy, Chapter.REHEARSE)
    after = await asyncio.to_thread(copy.tables)
    if failure := await _check_untouched(run, part, database, real):
        return failure
    changes = list(schema_diff(before, after))
    for line in changes:
        await record_note(run, part, Chapter.REHEARSE, line)
    if part.database_plan and part.database_plan.is_forward:
        data = {"schema": changes}
        await run.record(
            f"{part.name}/schema", EventKind.MEASURED, service=part.name, chapter=Chapter.REHEARSE, data=data
        )
    if failure := await _check_compatibility(run, part, before, after):
        return failure
    if check_candidate is None:
        return None
    return await check_candidate(copy) or await _check_untouched(run, part, database, real)


async def _check_untouched(run: Run, part: ServicePlan, database: Database, known: Tables) -> Failure | None:
    """Return a failure if the rehearsal changed the real database, which it can reach by what abreast cannot see."""
    changes = list(schema_diff(known, await asyncio.to_thread(database.tables)))
    if not changes:
        return None
    what = (
        f"the rehearsal changed the real database ({changes[0]}): the service reaches it by something that abreast"
        f" cannot redirect, such as a file. To undo it: abreast db restore --env {run.plan.environment}"
    )
    return Failure(Chapter.REHEARSE, what, part.name)


async def _check_compatibility(run: Run, part: ServicePlan, before: Tables, after: Tables) -> Failure | None:
    """Record what a migration command breaks for the running version. SQL files are checked when planning."""
    data = part.database_plan
    assert data
    if data.is_backward or not data.command or part.previous is None or data.breaking is BreakingChangePolicy.ALLOW:
        return None
    breaking = list(breaking_changes(before, after))
    for line in breaking:
        await record_note(run, part, Chapter.REHEARSE, f"BREAKING: {line}")
    if breaking and data.breaking is BreakingChangePolicy.BLOCK:
        return Failure(Chapter.REHEARSE, f"this would break the running version: {breaking[0]}", part.name)
    return None
