"""The database of a service in a deployment: a verified backup, a rehearsal on the copy, then the migration."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from abreast.core.backups import Backup
from abreast.core.errors import DatabaseError
from abreast.core.events import What
from abreast.core.model import Breaking, Chapter, Failure, ServicePlan
from abreast.core.tables import Tables, breaking, difference
from abreast.database.interface import Database
from abreast.deploy.backup import REHEARSAL, VERIFIED, back_up, copy_of, tell
from abreast.deploy.course import guard, owner_of
from abreast.deploy.migrator import run_all
from abreast.deploy.run import Run
from abreast.ledger.interface import Part


async def up_to_date(run: Run, part: ServicePlan, made: Part | None, try_it: "TryIt | None" = None) -> Failure | None:
    """Bring the service's database to what its new version needs; returns why that could not be."""
    saved = await run.chapter(Chapter.BACKUP, lambda: back_up(run, part), Backup, part.name)
    if isinstance(saved, Failure):
        return saved
    if failure := await run.chapter(Chapter.REHEARSE, lambda: rehearse(run, part, made, try_it), None, part.name):
        return failure
    return await run.chapter(Chapter.MIGRATE, lambda: migrate(run, part, made, saved), None, part.name)


async def rehearsed(run: Run, part: ServicePlan) -> Failure | None:
    """Back up, and do it on the restored copy only."""
    saved = await run.chapter(Chapter.BACKUP, lambda: back_up(run, part), Backup, part.name)
    if isinstance(saved, Failure):
        return saved
    return await run.chapter(Chapter.REHEARSE, lambda: rehearse(run, part, None, None), None, part.name)


TryIt = Callable[[Database], Awaitable[Failure | None]]
"""Brings the candidate up on a copy of the database and looks at its health."""


async def reverse(run: Run, part: ServicePlan, made: Part | None) -> Failure | None:
    """Take back what a release brought that no user is on any more, after a fresh backup.

    ``made`` is what that release was built, where it is not the one that was live before this deployment.
    """
    # All of it belongs to settling: neither another's failure nor a cancel stops the way back.
    saved = await run.chapter(Chapter.SETTLE, lambda: back_up(run, part), Backup, part.name, turn="backup")
    if isinstance(saved, Failure):
        return saved
    for work in (partial(rehearse, run, part, made, None), partial(migrate, run, part, made, saved)):
        if failure := await run.chapter(Chapter.SETTLE, work, None, part.name, turn=work.func.__name__):
            return failure
    return None


async def rehearse(run: Run, part: ServicePlan, made: Part | None, try_it: TryIt | None) -> Failure | None:
    """Do it on the restored copy first: time, locks, what differs, and the candidate's health there."""
    database = run.ports.database(part.service)
    pristine = copy_of(database, VERIFIED, run.plan.deployment)
    copy = copy_of(database, REHEARSAL, run.plan.deployment)
    await asyncio.to_thread(copy.copy_from, pristine)
    before = await asyncio.to_thread(copy.tables)
    await run_all(run, part, made, copy, Chapter.REHEARSE)
    after = await asyncio.to_thread(copy.tables)
    differing = list(difference(before, after))
    for line in differing:
        await tell(run, part, Chapter.REHEARSE, line)
    if part.data and part.data.forward:
        data = {"schema": differing}
        await run.tell(f"{part.name}/schema", What.MEASURED, service=part.name, chapter=Chapter.REHEARSE, data=data)
    if failure := await _compatible(run, part, before, after):
        return failure
    return await try_it(copy) if try_it else None


async def _compatible(run: Run, part: ServicePlan, before: Tables, after: Tables) -> Failure | None:
    """Say what the running version can no longer do, as it was seen; files were looked at when it was planned."""
    data = part.data
    assert data
    if data.backward or not data.command or part.previous is None or data.breaking is Breaking.ALLOW:
        return None
    found = list(breaking(before, after))
    for line in found:
        await tell(run, part, Chapter.REHEARSE, f"BREAKING: {line}")
    if found and data.breaking is Breaking.BLOCK:
        return Failure(Chapter.REHEARSE, f"the running version could not live with it: {found[0]}", part.name)
    return None


async def migrate(run: Run, part: ServicePlan, made: Part | None, saved: Backup) -> None:
    """Do it for real; raises DatabaseError where there is no verified backup."""
    database = run.ports.database(part.service)
    owner = owner_of(run.plan.project, run.plan.environment, part.name)

    def due() -> bool:
        known = run.ports.vault.one(run.plan.environment, part.name, saved.name)
        if not known.verified:
            raise DatabaseError(f"the backup {saved.name} was not verified", next="abreast db backup")
        guard(database, owner)
        return not _is_back(run, part, database)

    if await asyncio.to_thread(due):
        await run_all(run, part, made, database, Chapter.MIGRATE)
    await asyncio.to_thread(database.claim, owner)


def _is_back(run: Run, part: ServicePlan, database: Database) -> bool:
    """Whether a command has taken the schema back already, as in the rehearsal: it must not do so twice."""
    if not (part.data and part.data.command and part.data.backward):
        return False
    before, after = (copy_of(database, name, run.plan.deployment) for name in (VERIFIED, REHEARSAL))
    if not before.exists() or not after.exists():
        return False
    return before.tables() != after.tables() == database.tables()
