"""Rehearse: run the migration on a restored copy, and compare the schema before and after."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from abreast.core.backups import Backup
from abreast.core.events import EventKind
from abreast.core.model import BreakingChangePolicy, Chapter, Failure
from abreast.core.plan import ServicePlan
from abreast.core.schema.tables import Tables, breaking_changes, lost_rows, schema_diff
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
    real = await asyncio.to_thread(database.tables)
    observer = await asyncio.to_thread(ChangeObserver, copy, counts_rows=_is_held_to_compatibility(part))
    before = observer.tables
    await run_migrations(run, part, built, copy, Chapter.REHEARSE, observer.observe)
    if failure := await _check_untouched(run, part, database, real):
        return failure
    changes = list(schema_diff(before, observer.tables))
    for line in changes:
        await record_note(run, part, Chapter.REHEARSE, line)
    if part.database_plan and part.database_plan.is_forward:
        data = {"schema": changes, "breaking": observer.breaking}
        await run.record(
            f"{part.name}/schema", EventKind.MEASURED, service=part.name, chapter=Chapter.REHEARSE, data=data
        )
    if failure := await _check_compatibility(run, part, observer.breaking):
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


def _is_held_to_compatibility(part: ServicePlan) -> bool:
    """Whether a running version must be able to live with the migrated database."""
    data = part.database_plan
    return bool(data and data.is_forward and part.previous and data.breaking is not BreakingChangePolicy.ALLOW)


async def _check_compatibility(run: Run, part: ServicePlan, breaking: Sequence[str]) -> Failure | None:
    """Record what the migrations broke for the running version, as the copy shows, and hold it against the policy."""
    if not _is_held_to_compatibility(part):
        return None
    assert part.database_plan
    for line in breaking:
        await record_note(run, part, Chapter.REHEARSE, f"BREAKING: {line}")
    if breaking and part.database_plan.breaking is BreakingChangePolicy.BLOCK:
        remedy = "" if part.database_plan.command else ", or say why that is safe with -- contract: REASON in its file"
        return Failure(Chapter.REHEARSE, f"this would break the running version: {breaking[0]}{remedy}", part.name)
    return None


class ChangeObserver:
    """Compares a copy before and after each migration. ``breaking``: what those broke that do not say why."""

    def __init__(self, copy: Database, *, counts_rows: bool) -> None:
        self._copy = copy
        self._counts_rows = counts_rows
        self.tables, self._rows = copy.tables(), self._count_rows()
        self.breaking: list[str] = []

    def observe(self, contract_reason: str) -> None:
        """Compare with the time before. Raises DatabaseError if the copy cannot be read."""
        tables, rows = self._copy.tables(), self._count_rows()
        if not contract_reason:
            self.breaking += breaking_changes(self.tables, tables)
            self.breaking += lost_rows(self._rows, rows, self.tables)
        self.tables, self._rows = tables, rows

    def _count_rows(self) -> Mapping[str, int]:
        return self._copy.stats().rows if self._counts_rows else {}
