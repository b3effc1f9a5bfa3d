"""Migrate a service's database: a verified backup, a rehearsal on a copy, then the migration."""

import asyncio
from functools import partial

from abreast.core.backups import Backup
from abreast.core.errors import DatabaseError
from abreast.core.model import Chapter, Failure
from abreast.core.plan import ServicePlan
from abreast.database.interface import Database
from abreast.deploy.data.backup import REHEARSAL_COPY, VERIFIED_COPY, back_up_and_verify, database_copy, record_note
from abreast.deploy.data.maintenance import begin_maintenance
from abreast.deploy.data.migration_runner import run_migrations
from abreast.deploy.data.plan import check_owner, owner_name
from abreast.deploy.data.rehearse import CandidateCheck, rehearse
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart


async def back_up_and_migrate(
    run: Run, part: ServicePlan, built: ReleasePart | None, check_candidate: CandidateCheck | None = None
) -> Failure | None:
    """Back the service's database up, rehearse its migration, migrate it. Returns the failure."""
    saved = await run.run_chapter(Chapter.BACKUP, lambda: back_up_and_verify(run, part), Backup, part.name)
    if isinstance(saved, Failure):
        return saved
    if not saved.verified:
        assert part.database_plan
        await record_note(run, part, Chapter.REHEARSE, f"not rehearsed, as accepted by {part.database_plan.unverified}")
    elif failure := await run.run_chapter(
        Chapter.REHEARSE, lambda: rehearse(run, part, built, check_candidate), None, part.name
    ):
        return failure
    return await run.run_chapter(Chapter.MIGRATE, lambda: _migrate_for_good(run, part, built, saved), None, part.name)


async def _migrate_for_good(run: Run, part: ServicePlan, built: ReleasePart | None, saved: Backup) -> None:
    """Migrate the real database, in maintenance if the running version cannot live with it."""
    await begin_maintenance(run, part)
    await migrate(run, part, built, saved)


async def reverse_migration(run: Run, part: ServicePlan, built: ReleasePart | None) -> Failure | None:
    """Revert the migration of a release that has no users any more, after a backup and a rehearsal.

    ``built`` is the artifact of that release; None if it was live before this deployment.
    """
    # As part of settle, none of it stops when another service fails or a user cancels.
    saved = await run.run_chapter(
        Chapter.SETTLE, lambda: back_up_and_verify(run, part), Backup, part.name, variant="backup"
    )
    if isinstance(saved, Failure):
        return saved
    for work in (partial(rehearse, run, part, built, None), partial(migrate, run, part, built, saved)):
        if failure := await run.run_chapter(Chapter.SETTLE, work, None, part.name, variant=work.func.__name__):
            return failure
    return None


async def migrate(run: Run, part: ServicePlan, built: ReleasePart | None, saved: Backup) -> None:
    """Migrate the real database and claim it. Raises DatabaseError if ``saved`` must be verified and is not."""
    database = run.ports.open_database(part.service)
    owner = owner_name(run.plan.project, run.plan.environment, part.name)

    def is_due() -> bool:
        stored = run.ports.open_vault().find_backup(run.plan.environment, part.name, saved.name)
        if not stored.verified and not (part.database_plan and part.database_plan.unverified):
            raise DatabaseError(f"the backup {saved.name} is not verified", next="abreast db backup")
        check_owner(database, owner)
        return not _is_already_reversed(run, part, database)

    if await asyncio.to_thread(is_due):
        await run_migrations(run, part, built, database, Chapter.MIGRATE)
    await asyncio.to_thread(database.claim, owner)


def _is_already_reversed(run: Run, part: ServicePlan, database: Database) -> bool:
    """Whether the database already has the schema that the rehearsal of the `down` command led to."""
    if not (part.database_plan and part.database_plan.command and part.database_plan.is_backward):
        return False
    before, after = (database_copy(database, name, run.plan.deployment) for name in (VERIFIED_COPY, REHEARSAL_COPY))
    if not before.exists() or not after.exists():
        return False
    return before.tables() != after.tables() == database.tables()
