"""The databases of previews: copies of their base's, made empty or from a backup, and dropped with the preview."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import Action, Chapter, DatabasePlan, DeploymentKind, Failure, ServicePlan
from abreast.core.previews import PreviewData, PreviewName
from abreast.core.schema import migration_files
from abreast.core.wording import counted
from abreast.database.interface import Database, Reporter
from abreast.deploy.data.backup import record_note, restore_workdir, threadsafe_reporter, verify_backup
from abreast.deploy.data.migration_runner import migration_stem, run_migrations
from abreast.deploy.data.plan import check_owner, migrations_at_commit, owner_name, plan_migrations
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart

MAX_DEPLOYMENTS = 1000
"""How many deployments back the one is looked for that made a database."""


def plan_preview_database(
    ports: Ports, project: str, preview: Environment, part: ServicePlan, kind: DeploymentKind
) -> DatabasePlan | None:
    """Return what a deployment does with the database of a preview, None if nothing.

    It is made by the first deployment, and again if it can no longer be migrated to the commit: a pull request may
    change migrations that ran. Raises UsageError for migrations that cannot be applied, or if there is no backup;
    RefusedError if the database exists and this preview did not make it.
    """
    if part.service.database is None or part.action is not Action.DEPLOY:
        return None
    database = ports.open_database(part.service)
    if _is_made(ports, project, preview.name, part.name, database):
        if kind is DeploymentKind.ROLLBACK:
            return None
        with suppress(UsageError):
            return plan_migrations(ports, preview, part, kind, database)
    return _plan_new(ports, preview, part)


def _plan_new(ports: Ports, preview: Environment, part: ServicePlan) -> DatabasePlan:
    """Return how the database is made, and which migrations it needs then."""
    base, used = preview.base, part.service.database
    assert base
    assert base.preview
    assert used
    plan, applied = DatabasePlan(preview.breaking, copy_of="", command=bool(used.command)), frozenset[str]()
    if base.preview.database is PreviewData.BACKUP:
        backup = ports.open_vault().find_backup(base.name, part.name)
        plan, applied = replace(plan, copy_of=backup.name), frozenset(map(migration_stem, backup.migrations))
    if not used.migrations:
        return plan
    files = migrations_at_commit(ports, part.commit, used.migrations)
    if faults := migration_files.plan_migrations(files, ()).faults:
        raise UsageError(
            "\n".join(f"{used.migrations}/{fault}" for fault in faults), need="migrations that can be applied"
        )
    return replace(plan, up=tuple(file.name for file in files if migration_stem(file.name) not in applied))


def _is_made(ports: Ports, project: str, environment: str, service: str, database: Database) -> bool:
    """Whether the database exists and is whole. Raises RefusedError if this preview did not make it."""
    if not database.exists():
        return False
    recorded, own = database.owner(), owner_name(project, environment, service)
    if not recorded and not _has_been_made(ports, environment, service):
        raise RefusedError(
            f"the database for {service} of {environment} exists already, and abreast did not make it",
            need="the name of a copy that is free",
            next=f"abreast db list --copies --env {environment}",
        )
    if recorded == _base_owner(project, environment, service):
        return False  # a restored backup, of which the end was not recorded
    check_owner(database, own)
    return True


def _has_been_made(ports: Ports, environment: str, service: str) -> bool:
    """Whether a deployment of the preview was to make the database. It looked that there was none."""
    plans = (ports.ledger.stored_plan(found.id) for found in ports.ledger.deployments(environment, MAX_DEPLOYMENTS))
    parts = (part for plan in plans for part in plan.services if part.name == service)
    return any(part.database_plan and part.database_plan.copy_of is not None for part in parts)


def _base_owner(project: str, environment: str, service: str) -> str:
    """Return the owner that a backup of the base brings along."""
    preview = PreviewName.parse(environment)
    assert preview
    return owner_name(project, preview.base, service)


async def make_preview_database(run: Run, part: ServicePlan) -> Failure | None:
    """Make the database, if the plan says so, before anything is built with its URL. Returns the failure."""
    if part.database_plan is None or part.database_plan.copy_of is None:
        return None
    return await run.run_chapter(Chapter.RESTORE, lambda: _make(run, part, part.database_plan), None, part.name)


async def _make(run: Run, part: ServicePlan, data: DatabasePlan | None) -> None:
    assert data
    report = threadsafe_reporter(run, part, Chapter.RESTORE)
    made = await asyncio.to_thread(_recreate, run, part, data.copy_of or "", report)
    await record_note(run, part, Chapter.RESTORE, made)


def _recreate(run: Run, part: ServicePlan, copy_of: str, report: Reporter) -> str:
    """Make the database anew, and return what it holds. A second call makes it once more."""
    ports, project, environment = run.ports, run.plan.project, run.plan.environment
    database, preview = ports.open_database(part.service), PreviewName.parse(environment)
    assert preview
    if not copy_of:
        database.recreate()
        database.copy_properties(report)
        return "empty"
    backup = ports.open_vault().find_backup(preview.base, part.name, copy_of)
    restored = verify_backup(ports, backup, database, restore_workdir(ports, run.plan.deployment))
    database.copy_properties(report)
    database.claim(owner_name(project, environment, part.name))
    return f"{backup.name}: {counted(sum(restored.stats.rows.values()), 'row')}"


async def migrate_preview_database(run: Run, part: ServicePlan, built: ReleasePart) -> Failure | None:
    """Migrate the database. Nobody's data is in it, so it is neither backed up nor rehearsed before."""
    return await run.run_chapter(Chapter.MIGRATE, partial(_migrate, run, part, built), None, part.name)


async def _migrate(run: Run, part: ServicePlan, built: ReleasePart) -> None:
    database, owner = (
        run.ports.open_database(part.service),
        owner_name(run.plan.project, run.plan.environment, part.name),
    )
    await asyncio.to_thread(check_owner, database, owner)
    await run_migrations(run, part, built, database, Chapter.MIGRATE)
    await asyncio.to_thread(database.claim, owner)


def drop_preview_database(ports: Ports, project: str, environment: str, part: ServicePlan) -> None:
    """Drop the database of a preview, if there is one. Raises RefusedError if this preview did not make it."""
    database = ports.open_database(part.service)
    _is_made(ports, project, environment, part.name, database)
    database.drop()
