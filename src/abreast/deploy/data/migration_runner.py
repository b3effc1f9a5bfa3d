"""What is run on a database by now: a project's files one after the other, or its own tool in what was built."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from abreast.artifacts.interface import ArtifactStore
from abreast.commands.interface import Command, CommandResult
from abreast.core import container_image
from abreast.core.errors import DatabaseError
from abreast.core.model import Chapter, DatabaseSettings, ServicePlan
from abreast.core.schema import migration_files
from abreast.core.schema.migration_files import AppliedMigration, Migration
from abreast.database.interface import Database, MigrationLimits, MigrationRun
from abreast.deploy.data.backup import record_note, threadsafe_reporter
from abreast.deploy.data.plan import migrations_at_commit
from abreast.deploy.runtime.child_environment import child_environment
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart


async def run_migrations(
    run: Run, part: ServicePlan, built: ReleasePart | None, database: Database, chapter: Chapter
) -> None:
    """Run what is to be run on a database by now, forward or back; raises DatabaseError."""
    assert part.database_plan
    if part.database_plan.command:
        await _run_migration_command(run, part, built, database, chapter)
    else:
        await _run_pending(run, part, database, chapter)


async def _run_pending(run: Run, part: ServicePlan, database: Database, chapter: Chapter) -> None:
    """Run the files that are to be run by now, or take back those that are still there."""
    used = part.service.database
    assert used
    report = threadsafe_reporter(run, part, chapter)

    def work() -> None:
        for ran in _run_files(run.ports, part, used, database, report):
            locks = f"; locks: {', '.join(ran.locks)}" if ran.locks and chapter is Chapter.REHEARSE else ""
            report(f"{ran.name}: {ran.seconds:.3f} s{locks}")

    await asyncio.to_thread(work)


def _run_files(
    ports: Ports, part: ServicePlan, used: DatabaseSettings, database: Database, report: Callable[[str], None]
) -> Iterator[MigrationRun]:
    """Run what is pending by now, or take back what is still there; what ran is not run again."""
    data = part.database_plan
    assert data
    assert used.migrations
    limits = MigrationLimits(used.statement_timeout, used.lock_timeout)
    known = migrations_at_commit(ports, data.since if data.down else part.commit, used.migrations)
    with database.migration_lock():
        database.prepare_migration_table(known)
        applied = database.applied_migrations()
        if data.down:
            there, files = {migration_stem(one.name) for one in applied}, {one.name: one for one in known}
            yield from (
                database.revert_migration(files[name], limits, report)
                for name in data.down
                if migration_stem(name) in there
            )
            return
        for one in _pending_as_planned(known, applied):
            yield database.apply_migration(one, limits, report)


def migration_stem(name: str) -> str:
    """Return a migration's name without its ending, as some tables of migrations have it."""
    return name.removesuffix(".sql")


def _pending_as_planned(known: Sequence[Migration], applied: Sequence[AppliedMigration]) -> Sequence[Migration]:
    """Return what is to be run by now; raises DatabaseError where that is not what was planned any more."""
    migration_plan = migration_files.plan_migrations(known, applied)
    if migration_plan.faults:
        raise DatabaseError("\n".join(migration_plan.faults), need="files that may be run")
    return migration_plan.pending


async def _run_migration_command(
    run: Run, part: ServicePlan, built: ReleasePart | None, database: Database, chapter: Chapter
) -> None:
    """Run the project's own tool in what was built, with the URL of this database."""
    used, data = part.service.database, part.database_plan
    assert used
    assert data
    text = used.down if data.since else used.command
    live_artifact = part.previous.artifact if part.previous and data.since else part.artifact
    artifact = built.artifact if built else live_artifact
    if artifact is None:
        raise DatabaseError(f"`{text}` runs in what is built, and nothing is live yet", next="abreast deploy")
    assert text
    workdir = run.ports.folders.work / run.plan.deployment / f"{part.name}.{chapter}"
    await asyncio.to_thread(_copy_artifact, run.ports.artifacts, artifact, workdir)
    env, secrets = await asyncio.to_thread(environment_for_copy, run, part, database)
    env |= await asyncio.to_thread(_image_variables, workdir)
    log = run.ports.folders.logs / run.plan.deployment / f"{part.name}.{chapter}.log"
    loop = asyncio.get_running_loop()

    def run_tool(said: str) -> CommandResult:
        command = Command(
            said, workdir, log, used.statement_timeout, {**run.ports.inherited_environment, **env}, secrets
        )
        return asyncio.run_coroutine_threadsafe(run.ports.run_command(command, _wait_forever()), loop).result()

    def work() -> str:
        with database.migration_lock():
            if used.status and not data.since and not run_tool(used.status).why:
                return f"`{used.status}`: there is nothing to do"
            ended = run_tool(text)
        if ended.why:
            raise DatabaseError("\n".join((f"`{text}`: {ended.why}", *ended.tail)))
        return ""

    if said := await asyncio.to_thread(work):
        await record_note(run, part, chapter, said)


async def _wait_forever() -> str:
    """Wait for ever: what migrates is not cut off but by its limit."""
    await asyncio.Event().wait()
    return ""


def _copy_artifact(artifacts: ArtifactStore, artifact: str, workdir: Path) -> None:
    if workdir.exists():
        shutil.rmtree(workdir)
    shutil.copytree(artifacts.fetch(artifact), workdir, symlinks=True)


def _image_variables(workdir: Path) -> dict[str, str]:
    """Return the image that was built, for a command to run in it, where it was one."""
    record_file = workdir / container_image.RECORD_FILE
    return (
        {"ABREAST_IMAGE": container_image.parse_record(record_file.read_bytes()).pinned} if record_file.exists() else {}
    )


def environment_for_copy(run: Run, part: ServicePlan, database: Database) -> tuple[dict[str, str], frozenset[str]]:
    """Return a service's variables with each that leads to its database leading to this one.

    Raises DatabaseError where none does: it would go to the real one.
    """
    env, secrets = child_environment(
        run.ports, part.service, run.plan.environment, run.plan.release, run.candidate_commit(part)
    )
    real, used = run.ports.open_database(part.service).connection_url(), part.service.database
    assert used
    copy_url = database.connection_url()
    replacements = {real: copy_url, _sqlite_path(real): _sqlite_path(copy_url)}
    redirected = {name: replacements.get(value, value) for name, value in env.items()}
    if copy_url != real and not any(value in {copy_url, _sqlite_path(copy_url)} for value in redirected.values()):
        raise DatabaseError(
            f"no variable of {part.name} has the URL of its database, so that it cannot be led to a copy",
            need=f"{used.variable} as `database: url` has it",
        )
    return redirected, secrets


def _sqlite_path(url: str) -> str:
    return url.removeprefix("sqlite:///")
