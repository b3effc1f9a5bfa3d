"""What is run on a database by now: a project's files one after the other, or its own tool in what was built."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from abreast.artifacts.interface import Artifacts
from abreast.commands.interface import Command, Ended
from abreast.core import image, migrations
from abreast.core.errors import DatabaseError
from abreast.core.migrations import Applied, Migration
from abreast.core.model import Chapter, DatabaseSettings, ServicePlan
from abreast.database.interface import Database, Limits, Ran
from abreast.deploy.backup import tell, teller
from abreast.deploy.course import folder
from abreast.deploy.ports import Ports
from abreast.deploy.run import Run
from abreast.deploy.surroundings import surroundings
from abreast.ledger.interface import Part


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
