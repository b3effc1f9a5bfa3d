"""Restore: a backup in the place of a database; first what is there is backed up, and what would be lost is told."""

import asyncio

from abreast.core import migrations
from abreast.core.backups import Backup
from abreast.core.errors import DatabaseError
from abreast.core.model import Chapter, Failure, Service, ServicePlan
from abreast.database.interface import Database, Tell
from abreast.deploy.backup import RESTORED, back_up, copy_of, room_of, tell, teller, verify
from abreast.deploy.course import folder, guard, owner_of
from abreast.deploy.ports import Ports
from abreast.deploy.run import Run


async def restore(run: Run, part: ServicePlan) -> Failure | None:
    """Put a backup in the place of the database, after a backup of what is there."""
    before = await run.chapter(
        Chapter.BACKUP, lambda: _back_up_what_is_there(run, part), None, part.name, turn="before"
    )
    return before or await run.chapter(Chapter.RESTORE, lambda: put_back(run, part), None, part.name)


async def _back_up_what_is_there(run: Run, part: ServicePlan) -> None:
    """Back up what will be replaced, unless it is gone or no database any more: that is what a restore is for."""
    database = run.ports.database(part.service)
    if not await asyncio.to_thread(_usable, database):
        await tell(run, part, Chapter.BACKUP, "what is there cannot be backed up: it is no database any more")
    elif await asyncio.to_thread(database.sizes):
        await back_up(run, part)


async def put_back(run: Run, part: ServicePlan) -> None:
    """Restore beside, check, and swap; raises DatabaseError, with what was there in place."""
    assert part.data
    database = run.ports.database(part.service)
    chosen = await asyncio.to_thread(run.ports.vault.one, run.plan.environment, part.name, part.data.restore)
    owner = owner_of(run.plan.project, run.plan.environment, part.name)
    if owner_of(chosen.project, chosen.environment, chosen.service) != owner:
        raise DatabaseError(f"the backup {chosen.name} is of {chosen.project}, not of {run.plan.project}")
    copy = copy_of(database, RESTORED, run.plan.deployment)
    say = teller(run, part, Chapter.RESTORE)
    kept = await asyncio.to_thread(_swap, run.ports, database, chosen, copy, owner, run.plan.deployment, say)
    rows = sum(chosen.rows.values())
    where = f"; what was there is kept as {kept}" if kept else ""
    await tell(run, part, Chapter.RESTORE, f"{chosen.name}: {rows} rows in {len(chosen.rows)} tables{where}")
    if missing := await asyncio.to_thread(_missing, run.ports, part, database):
        command = f"abreast db migrate --env {run.plan.environment}"
        await tell(
            run, part, Chapter.RESTORE, f"what is live needs {', '.join(missing)}, which did not run there: {command}"
        )


def _missing(ports: Ports, part: ServicePlan, database: Database) -> list[str]:
    """Return the migrations of what is live that a database lacks."""
    live, used = part.previous, part.service.database
    if live is None or used is None or used.migrations is None:
        return []
    course = migrations.course(folder(ports, live.commit, used.migrations), database.applied())
    return [one.name for one in course.pending]


def _swap(
    ports: Ports, database: Database, chosen: Backup, copy: Database, owner: str, deployment: str, tell: Tell
) -> str:
    """Swap once: what users wrote to what this deployment restored already is not lost by doing it again."""
    with database.alone():
        if _usable(database) and database.restored() == deployment:
            return ""
        verify(ports, chosen, copy, room_of(ports, deployment))
        guard(copy, owner)
        copy.claim(owner, deployment)
        kept = database.replace_by(copy, f"before_{deployment.lower()}", tell)
        copy.drop()
    return kept


def _usable(database: Database) -> bool:
    try:
        return database.exists() and bool(database.version())
    except DatabaseError:
        return False


def loss(ports: Ports, service: Service, chosen: Backup) -> dict[str, tuple[int | None, int | None]] | None:
    """Return by table the rows that are there and that the backup has, where they differ; None if nobody can count."""
    try:
        now = ports.database(service).contents().rows
    except DatabaseError:
        return None
    return {
        name: (now.get(name), chosen.rows.get(name))
        for name in sorted(now.keys() | chosen.rows.keys())
        if now.get(name) != chosen.rows.get(name)
    }
