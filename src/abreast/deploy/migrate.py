"""The database of a service in a deployment: a verified backup, a rehearsal on the copy, then the migration."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from abreast.artifacts.interface import Artifacts
from abreast.commands.interface import Command, Ended
from abreast.core import image, migrations
from abreast.core.backups import Backup
from abreast.core.errors import DatabaseError
from abreast.core.events import What
from abreast.core.migrations import Applied, Migration
from abreast.core.model import Breaking, Chapter, DatabaseSettings, Failure, ServicePlan
from abreast.core.tables import Tables, breaking, difference
from abreast.database.interface import Database, Limits, Ran
from abreast.deploy.backup import REHEARSAL, VERIFIED, back_up, copy_of, tell, teller
from abreast.deploy.course import folder, guard, owner_of
from abreast.deploy.ports import Ports
from abreast.deploy.run import Run
from abreast.deploy.surroundings import surroundings
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


async def run_all(run: Run, part: ServicePlan, made: Part | None, database: Database, chapter: Chapter) -> None:
    """Run what is to be run on a database by now, forward or back; raises DatabaseError."""
    assert part.data
    if part.data.command:
        await _run_command(run, part, made, database, chapter)
    else:
        await _run_pending(run, part, database, chapter)


async def _run_pending(run: Run, part: ServicePlan, database: Database, chapter: Chapter) -> None:
    """Run the files that are to be run by now, or take back those that are still there."""
    used = part.service.database
    assert used
    say = teller(run, part, chapter)

    def work() -> None:
        for ran in _files(run.ports, part, used, database, say):
            locks = f"; locks: {', '.join(ran.locks)}" if ran.locks and chapter is Chapter.REHEARSE else ""
            say(f"{ran.name}: {ran.seconds:.3f} s{locks}")

    await asyncio.to_thread(work)


def _files(
    ports: Ports, part: ServicePlan, used: DatabaseSettings, database: Database, tell: Callable[[str], None]
) -> Iterator[Ran]:
    """Run what is pending by now, or take back what is still there; what ran is not run again."""
    data = part.data
    assert data
    assert used.migrations
    limits = Limits(used.statement_timeout, used.lock_timeout)
    known = folder(ports, data.since if data.down else part.commit, used.migrations)
    with database.alone():
        database.prepare(known)
        applied = database.applied()
        if data.down:
            there, files = {stem(one.name) for one in applied}, {one.name: one for one in known}
            yield from (database.take_back(files[name], limits, tell) for name in data.down if stem(name) in there)
            return
        for one in _pending(known, applied):
            yield database.run(one, limits, tell)


def stem(name: str) -> str:
    """Return a migration's name without its ending, as some tables of migrations have it."""
    return name.removesuffix(".sql")


def _pending(known: Sequence[Migration], applied: Sequence[Applied]) -> Sequence[Migration]:
    """Return what is to be run by now; raises DatabaseError where that is not what was planned any more."""
    course = migrations.course(known, applied)
    if course.faults:
        raise DatabaseError("\n".join(course.faults), need="files that may be run")
    return course.pending


async def _run_command(run: Run, part: ServicePlan, made: Part | None, database: Database, chapter: Chapter) -> None:
    """Run the project's own tool in what was built, with the URL of this database."""
    used, data = part.service.database, part.data
    assert used
    assert data
    text = used.down if data.since else used.command
    left = part.previous.artifact if part.previous and data.since else part.artifact
    artifact = made.artifact if made else left
    if artifact is None:
        raise DatabaseError(f"`{text}` runs in what is built, and nothing is live yet", next="abreast deploy")
    assert text
    room = run.ports.folders.work / run.plan.deployment / f"{part.name}.{chapter}"
    await asyncio.to_thread(_fresh, run.ports.artifacts, artifact, room)
    env, secrets = await asyncio.to_thread(on_copy, run, part, database)
    env |= await asyncio.to_thread(_image, room)
    log = run.ports.folders.logs / run.plan.deployment / f"{part.name}.{chapter}.log"
    loop = asyncio.get_running_loop()

    def ask(said: str) -> Ended:
        command = Command(said, room, log, used.statement_timeout, {**run.ports.inherited, **env}, secrets)
        return asyncio.run_coroutine_threadsafe(run.ports.command(command, _never()), loop).result()

    def work() -> str:
        with database.alone():
            if used.status and not data.since and not ask(used.status).why:
                return f"`{used.status}`: there is nothing to do"
            ended = ask(text)
        if ended.why:
            raise DatabaseError("\n".join((f"`{text}`: {ended.why}", *ended.tail)))
        return ""

    if said := await asyncio.to_thread(work):
        await tell(run, part, chapter, said)


async def _never() -> str:
    """Wait for ever: what migrates is not cut off but by its limit."""
    await asyncio.Event().wait()
    return ""


def _fresh(artifacts: Artifacts, artifact: str, room: Path) -> None:
    if room.exists():
        shutil.rmtree(room)
    shutil.copytree(artifacts.take(artifact), room, symlinks=True)


def _image(room: Path) -> dict[str, str]:
    """Return the image that was built, for a command to run in it, where it was one."""
    told = room / image.FILE
    return {"ABREAST_IMAGE": image.read(told.read_bytes()).pinned} if told.exists() else {}


def on_copy(run: Run, part: ServicePlan, database: Database) -> tuple[dict[str, str], frozenset[str]]:
    """Return a service's variables with each that leads to its database leading to this one.

    Raises DatabaseError where none does: it would go to the real one.
    """
    env, secrets = surroundings(run.ports, part.service, run.plan.environment, run.plan.release, run.commit_of(part))
    real, used = run.ports.database(part.service).address(), part.service.database
    assert used
    there = database.address()
    places = {real: there, _path(real): _path(there)}
    meant = {name: places.get(value, value) for name, value in env.items()}
    if there != real and not any(value in {there, _path(there)} for value in meant.values()):
        raise DatabaseError(
            f"no variable of {part.name} has the URL of its database, so that it cannot be led to a copy",
            need=f"{used.variable} as `database: url` has it",
        )
    return meant, secrets


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///")
