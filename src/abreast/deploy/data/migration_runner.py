"""Run migrations on a database: the project's SQL files in order, or its own tool inside the artifact."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from abreast.commands.interface import Command, CommandResult
from abreast.core.errors import DatabaseError
from abreast.core.model import Chapter, DatabaseSettings
from abreast.core.plan import ServicePlan
from abreast.core.schema import migration_files
from abreast.core.schema.migration_files import AppliedMigration, Migration
from abreast.database.interface import Database, MigrationLimits, MigrationRun
from abreast.deploy.chapters.install import artifact_variables
from abreast.deploy.data.backup import record_note, threadsafe_reporter
from abreast.deploy.data.plan import migrations_at_commit
from abreast.deploy.runtime.child_environment import child_environment, database_variables, rehearsal_secrets
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run
from abreast.deploy.runtime.service_commands import copy_artifact, image_variables, wait_forever
from abreast.ledger.interface import ReleasePart

MAX_COMMAND_ATTEMPTS = 10
"""How often a tool runs until it gets its locks."""

MigrationObserver = Callable[[str], None]
"""Called in a thread after each migration, with the reason why it may remove what others need ("" if it has none)."""


async def run_migrations(
    run: Run,
    part: ServicePlan,
    built: ReleasePart | None,
    database: Database,
    chapter: Chapter,
    observe: MigrationObserver = lambda _: None,
) -> None:
    """Run the planned migrations that are still due, forward or backward. Raises DatabaseError."""
    assert part.database_plan
    if part.database_plan.command:
        await _run_migration_command(run, part, built, database, chapter)
        await asyncio.to_thread(observe, "")
    else:
        await _run_pending(run, part, database, chapter, observe)


async def _run_pending(
    run: Run, part: ServicePlan, database: Database, chapter: Chapter, observe: MigrationObserver
) -> None:
    """Run the files that are still due, and record the duration of each; in a rehearsal also its locks."""
    settings = part.service.database
    assert settings
    report = threadsafe_reporter(run, part, chapter)

    def work() -> None:
        for migration, ran in _run_files(run.ports, part, settings, database, report):
            locks = f"; locks: {', '.join(ran.locks)}" if ran.locks and chapter is Chapter.REHEARSE else ""
            report(f"{ran.name}: {ran.seconds:.3f} s{locks}")
            observe(migration.contract_reason)

    await asyncio.to_thread(work)


def _run_files(
    ports: Ports, part: ServicePlan, settings: DatabaseSettings, database: Database, report: Callable[[str], None]
) -> Iterator[tuple[Migration, MigrationRun]]:
    """Apply pending migrations, or revert those still applied. Yields each and its run. A second call does nothing."""
    data = part.database_plan
    assert data
    assert settings.migrations
    limits = MigrationLimits(settings.statement_timeout, settings.lock_timeout)
    migrations = migrations_at_commit(ports, data.since if data.down else part.commit, settings.migrations)
    with database.migration_lock():
        database.prepare_migration_table(migrations)
        applied = database.applied_migrations()
        if data.down:
            stems, files = (
                {migration_stem(migration.name) for migration in applied},
                {migration.name: migration for migration in migrations},
            )
            yield from (
                (files[name], database.revert_migration(files[name], limits, report))
                for name in data.down
                if migration_stem(name) in stems
            )
            return
        for migration in _pending_as_planned(migrations, applied):
            yield migration, database.apply_migration(migration, limits, report)


def migration_stem(name: str) -> str:
    """Return a migration's name without ``.sql``, as some migration tables record it."""
    return name.removesuffix(".sql")


def _pending_as_planned(migrations: Sequence[Migration], applied: Sequence[AppliedMigration]) -> Sequence[Migration]:
    """Return the pending migrations. Raises DatabaseError if the database no longer allows the plan."""
    migration_plan = migration_files.plan_migrations(migrations, applied)
    if migration_plan.faults:
        raise DatabaseError("\n".join(migration_plan.faults), need="migrations that can be applied")
    return migration_plan.pending


async def _run_migration_command(
    run: Run, part: ServicePlan, built: ReleasePart | None, database: Database, chapter: Chapter
) -> None:
    """Run the project's own tool inside its artifact, with the URL of ``database``."""
    settings, data = part.service.database, part.database_plan
    assert settings
    assert data
    text = settings.down if data.since else settings.command
    live_artifact = part.previous.artifact if part.previous and data.since else part.artifact
    artifact = built.artifact if built else live_artifact
    if artifact is None:
        raise DatabaseError(f"`{text}` runs inside the live artifact, and nothing is live yet", next="abreast deploy")
    assert text
    workdir = run.ports.folders.work / run.plan.deployment / f"{part.name}.{chapter}"
    await asyncio.to_thread(copy_artifact, run.ports.artifacts, artifact, workdir)
    env, secrets = await asyncio.to_thread(environment_for_copy, run, part, database)
    env |= await asyncio.to_thread(image_variables, workdir)
    env |= await artifact_variables(run, part.service, run.candidate_commit(part), workdir)
    log = run.ports.folders.logs / run.plan.deployment / f"{part.name}.{chapter}.log"
    folder, loop = workdir / part.service.artifact_folder, asyncio.get_running_loop()

    def run_tool(text: str) -> CommandResult:
        command = Command(
            text, folder, log, settings.statement_timeout, {**run.ports.inherited_environment, **env}, secrets
        )
        return asyncio.run_coroutine_threadsafe(run.ports.run_command(command, wait_forever()), loop).result()

    report = threadsafe_reporter(run, part, chapter)

    def work() -> str:
        with database.migration_lock():
            if settings.status and not data.since and not run_tool(settings.status).why:
                return f"`{settings.status}`: nothing to do"
            ended = _run_until_it_gets_its_locks(database, settings.lock_timeout, report, lambda: run_tool(text))
        if ended.why:
            raise DatabaseError("\n".join((f"`{text}`: {ended.why}", *ended.excerpt)))
        return ""

    if note := await asyncio.to_thread(work):
        await record_note(run, part, chapter, note)


def _run_until_it_gets_its_locks(
    database: Database, lock_timeout: float, report: Callable[[str], None], run_tool: Callable[[], CommandResult]
) -> CommandResult:
    """Run a tool, and again if it was cancelled because it waited for a lock, with others waiting behind it."""
    for attempt in range(1, MAX_COMMAND_ATTEMPTS + 1):
        with database.lock_watch(lock_timeout, report) as watch:
            ended = run_tool()
        if not ended.why or not watch.has_cancelled or attempt == MAX_COMMAND_ATTEMPTS:
            return ended
        report(f"running it again, attempt {attempt + 1} of {MAX_COMMAND_ATTEMPTS}")
        time.sleep(min(0.1 * 2**attempt, 5.0))
    raise AssertionError("the last attempt returns")


def environment_for_copy(run: Run, part: ServicePlan, database: Database) -> tuple[dict[str, str], frozenset[str]]:
    """Return a service's variables, and the names of the secret ones, leading to ``database`` instead of its own.

    On a copy, ``ABREAST_REHEARSAL`` is set, and ``rehearsal: env`` replaces variables, so that the service can leave
    the world alone. Raises DatabaseError if a variable leads to the real database and cannot lead to the copy, or if
    none leads there: the service would reach it in another way.
    """
    env, secrets = child_environment(
        run.ports, part.service, run.plan.environment, run.plan.release, run.candidate_commit(part)
    )
    real, settings = run.ports.open_database(part.service), part.service.database
    assert settings
    if database.connection_url() == real.connection_url():
        return dict(env), secrets
    replaced = rehearsal_secrets(run.ports, part.service)
    env, secrets = {**env, **{name: secret.reveal() for name, secret in replaced.items()}}, secrets | replaced.keys()
    redirected = real.redirected_variables(env, database)
    leading, own = database_variables(settings, database), database_variables(settings, real)
    redirected = {**redirected, **{name: leading[name] for name in settings.variables if env[name] == own[name]}}
    if not redirected:
        raise DatabaseError(
            f"no variable of {part.name} holds its database URL, so it cannot be pointed at a copy",
            need=f"{settings.variable} with the value of `database: url`",
        )
    return {**env, **redirected, "ABREAST_REHEARSAL": "1"}, secrets
