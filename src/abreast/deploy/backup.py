"""Backups: taken, restored into a copy to see that they can be, and kept for as long as somebody could need them."""

import asyncio
from pathlib import Path

from abreast.core import backups
from abreast.core.backups import Backup
from abreast.core.errors import AbreastError, DatabaseError
from abreast.core.events import What
from abreast.core.model import Chapter, Live, ServicePlan
from abreast.database.interface import Contents, Database, Tell
from abreast.deploy.course import guard, owner_of
from abreast.deploy.ports import Ports
from abreast.deploy.run import Run

VERIFIED = "verified"
REHEARSAL = "rehearsal"
RESTORED = "restored"
DRILL = "drill"


async def back_up(run: Run, part: ServicePlan) -> Backup:
    """Return a backup that was restored and found whole; the restored copy stays for the rehearsal."""
    live = run.ports.ledger.live(run.plan.environment).get(part.name)
    database = run.ports.database(part.service)
    owner = owner_of(run.plan.project, run.plan.environment, part.name)
    copy = copy_of(database, VERIFIED, run.plan.deployment)
    saved = await asyncio.to_thread(
        take, run.ports, database, owner, live, copy, room_of(run.ports, run.plan.deployment)
    )
    await tell(run, part, Chapter.BACKUP, f"{saved.name}: {_mb(saved.size)}, {_mb(saved.stored)} sealed, verified")
    return saved


def room_of(ports: Ports, deployment: str) -> Path:
    """Return where a deployment has what it restores for a moment; the deployment's end takes it away."""
    return ports.folders.work / deployment / "restored"


def take(ports: Ports, database: Database, owner: str, live: Live | None, copy: Database, room: Path) -> Backup:
    """Back a database up and restore it into ``copy``, by way of ``room``, to see that it can be.

    Raises DatabaseError.
    """
    guard(database, owner)
    project, environment, service = owner.split("/")
    _not_emptied(ports, database, owner, live)
    now, release = ports.now(), live.release if live else ""
    begun = Backup(
        backups.name(environment, service, now, release), project, environment, service, release, now,
        database.engine, database.version(), migrations=tuple(one.name for one in database.applied()),
    )  # fmt: skip
    saved, opener = ports.vault.save(begun, database.dump, ports.around())
    verify(ports, saved, copy, room, opener)
    proven = saved.proven(ports.now())
    ports.vault.note(proven)
    return proven


def _not_emptied(ports: Ports, database: Database, owner: str, live: Live | None) -> None:
    """Raise DatabaseError where nothing is in a database in which something should be: it is another one, or lost."""
    _, environment, service = owner.split("/")
    if database.sizes():
        return
    full = [one for one in ports.vault.list(environment, service) if one.verified and any(one.rows.values())]
    if full or (live and live.definition.database and live.definition.database.migrates):
        since = f"when it was backed up last ({full[0].at})" if full else "before"
        raise DatabaseError(
            f"the database of {service} is empty, and was not {since}",
            need="the URL of the database that the service uses",
            next=f"abreast db restore --env {environment} --service {service}" if full else "abreast db status",
        )


def verify(ports: Ports, backup: Backup, copy: Database, room: Path, opener: object = None) -> Contents:
    """Restore a backup into ``copy``, by way of ``room``, and compare it with what was counted.

    Raises DatabaseError.
    """
    dump = room / f"{backup.environment}.{backup.service}"  # what a killed process left is written over
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        ports.vault.fetch(backup, dump, opener)
        copy.restore(dump)
    finally:
        dump.unlink(missing_ok=True)
    found = copy.check()
    if found.rows != backup.rows:
        differing = [
            name for name in backup.rows.keys() | found.rows.keys() if found.rows.get(name) != backup.rows.get(name)
        ]
        first = min(differing)
        raise DatabaseError(
            f"the backup {backup.name} is not what was backed up: {first} has {found.rows.get(first, 'no')} rows, "
            f"and had {backup.rows.get(first, 'none')}",
            need="each row",
            next="abreast db backup",
        )
    return found


def copy_of(database: Database, name: str, deployment: str) -> Database:
    """Return a deployment's own copy of a database, be it there or not; one that is restored can take its place."""
    return database.beside(f"{name}-{deployment.lower()}", here=name == RESTORED)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


async def clean(run: Run) -> None:
    """Take copies away that a failure left, and backups that nobody needs; what goes wrong here is only told."""
    for part in run.plan.data:
        try:
            await asyncio.to_thread(_clean, run, part)
        except AbreastError as error:
            await run.tell(f"{part.name}/copies", What.NOTE, str(error), service=part.name, chapter=Chapter.SETTLE)


def _clean(run: Run, part: ServicePlan) -> None:
    database = run.ports.database(part.service)
    for name in (VERIFIED, REHEARSAL, RESTORED, DRILL):
        copy_of(database, name, run.plan.deployment).drop()
    forget(run.ports, run.plan.environment, part.name)


def forget(ports: Ports, environment: str, service: str) -> int:
    """Take away backups that are old and that no live release nor the one before it could need."""
    live: dict[str, Live] = dict(ports.ledger.live(environment))
    recent = [one.release for one in ports.ledger.deployments(environment, 20)]
    needed = {*recent[:5], *(one.release for one in live.values())}
    return ports.vault.tidy(environment, service, needed, ports.now())


def teller(run: Run, part: ServicePlan, chapter: Chapter) -> Tell:
    """Return what records a line about a service's database, for a thread beside this loop."""
    loop = asyncio.get_running_loop()

    def say(text: str) -> None:
        asyncio.run_coroutine_threadsafe(tell(run, part, chapter, text), loop).result()

    return say


async def tell(run: Run, part: ServicePlan, chapter: Chapter, text: str) -> None:
    """Record a line about a service's database."""
    await run.tell(f"{part.name}/{chapter}/note/{text}", What.NOTE, text, service=part.name, chapter=chapter)
