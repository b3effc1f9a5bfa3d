"""Restore: back the current database up, then replace it by a backup."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest

from abreast.core.backups import Backup, next_sequence
from abreast.core.errors import DatabaseError
from abreast.core.model import Chapter, Failure, Service
from abreast.core.plan import ServicePlan
from abreast.core.schema import migration_files
from abreast.core.wording import counted
from abreast.database.interface import Database, Reporter
from abreast.deploy.data.backup import (
    RESTORED_COPY,
    back_up_and_verify,
    database_copy,
    record_note,
    restore_workdir,
    threadsafe_reporter,
    verify_backup,
)
from abreast.deploy.data.plan import check_owner, migrations_at_commit, owner_name
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run


async def restore_backup(run: Run, part: ServicePlan) -> Failure | None:
    """Back the current database up, then replace it by the planned backup. Returns the failure."""
    before = await run.run_chapter(
        Chapter.BACKUP, lambda: _back_up_current(run, part), None, part.name, variant="before"
    )
    return before or await run.run_chapter(Chapter.RESTORE, lambda: replace_with_backup(run, part), None, part.name)


async def _back_up_current(run: Run, part: ServicePlan) -> None:
    """Back up the database to be replaced. A missing, damaged or empty one is skipped."""
    database = run.ports.open_database(part.service)
    if not await asyncio.to_thread(_is_usable, database):
        await record_note(run, part, Chapter.BACKUP, "the current database cannot be read, so it is not backed up")
    elif await asyncio.to_thread(database.estimate_row_counts):
        await back_up_and_verify(run, part, before_restore=True)


async def replace_with_backup(run: Run, part: ServicePlan) -> None:
    """Restore into a copy, verify it, swap it in. Raises DatabaseError, and leaves the database unchanged then."""
    assert part.database_plan
    database = run.ports.open_database(part.service)
    names = (part.database_plan.restore, *part.database_plan.alternatives)
    find = partial(run.ports.open_vault().find_backup, run.plan.environment, part.name)
    candidates = [await asyncio.to_thread(find, name) for name in names]
    owner = owner_name(run.plan.project, run.plan.environment, part.name)
    if foreign := next((backup for backup in candidates if _owner(backup) != owner), None):
        raise DatabaseError(f"the backup {foreign.name} belongs to {foreign.project}, not to {run.plan.project}")
    copy = database_copy(database, RESTORED_COPY, run.plan.deployment)
    report = threadsafe_reporter(run, part, Chapter.RESTORE)
    chosen, kept = await asyncio.to_thread(
        _swap_databases, run.ports, database, candidates, copy, owner, run.plan.deployment, report
    )
    contents = f"{counted(sum(chosen.rows.values()), 'row')} in {counted(len(chosen.rows), 'table')}"
    where = f"; the previous database is kept as {kept}" if kept else ""
    await record_note(run, part, Chapter.RESTORE, f"{chosen.name}: {contents}{where}")
    if missing := await asyncio.to_thread(_missing_migrations, run.ports, part, database):
        command = f"abreast db migrate --env {run.plan.environment}"
        await record_note(
            run,
            part,
            Chapter.RESTORE,
            f"the live version needs {', '.join(missing)}, which this backup lacks. next: {command}",
        )


def _missing_migrations(ports: Ports, part: ServicePlan, database: Database) -> list[str]:
    """Return the migrations that the live version needs and the database has not applied."""
    live, used = part.previous, part.service.database
    if live is None or used is None or used.migrations is None:
        return []
    migration_plan = migration_files.plan_migrations(
        migrations_at_commit(ports, live.commit, used.migrations), database.applied_migrations()
    )
    return [migration.name for migration in migration_plan.pending]


def _owner(backup: Backup) -> str:
    return owner_name(backup.project, backup.environment, backup.service)


def _swap_databases(
    ports: Ports,
    database: Database,
    candidates: Sequence[Backup],
    copy: Database,
    owner: str,
    deployment: str,
    report: Reporter,
) -> tuple[Backup, str]:
    """Restore, verify and swap, once: a second call would lose what users wrote since the first.

    Returns the backup that was restored, and the name under which the previous database is kept, "" if none is.
    """
    with database.migration_lock():
        if _is_usable(database) and database.restored_by() == deployment:
            return candidates[0], ""
        chosen = _restore_first_intact(ports, candidates, copy, deployment, report)
        check_owner(copy, owner)
        copy.claim(owner, deployment)
        _make_newest(ports, chosen)
        kept = database.replace_with(copy, f"before_{deployment.lower()}", report)
        copy.drop()
    return chosen, kept


def _restore_first_intact(
    ports: Ports, candidates: Sequence[Backup], copy: Database, deployment: str, report: Reporter
) -> Backup:
    """Restore the first of the backups that is whole; report those that are not. Raises DatabaseError if none is."""
    for backup, older in zip_longest(candidates, candidates[1:]):
        try:
            restored = verify_backup(ports, backup, copy, restore_workdir(ports, deployment))
        except DatabaseError as error:
            if older is None:
                raise
            report(f"{backup.name} cannot be restored: {error.what}. Going on with {older.name}")
        else:
            for gap in restored.gaps:
                report(f"restored, except for {gap}")
            return replace(backup, rows=restored.stats.rows)
    raise AssertionError("there is at least one candidate")


def _make_newest(ports: Ports, restored: Backup) -> None:
    """Let a backup that is about to be restored be the default of the next restore and of drills."""
    if not restored.recorded:
        known = ports.open_vault().list_backups(restored.environment, restored.service)
        ports.open_vault().write_metadata(replace(restored, sequence=next_sequence(known)))


def _is_usable(database: Database) -> bool:
    try:
        return database.exists() and bool(database.engine_version())
    except DatabaseError:
        return False


def row_differences(ports: Ports, service: Service, chosen: Backup) -> dict[str, tuple[int | None, int | None]] | None:
    """Return (rows now, rows in the backup) of each table where they differ; None if the database cannot be read."""
    try:
        now = ports.open_database(service).stats().rows
    except DatabaseError:
        return None
    return {
        name: (now.get(name), chosen.rows.get(name))
        for name in sorted(now.keys() | chosen.rows.keys())
        if now.get(name) != chosen.rows.get(name)
    }
