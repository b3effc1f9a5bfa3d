"""The databases of previews: copies of their base's, made empty or from a backup, and dropped with the preview."""

import asyncio
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from functools import partial

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter, Failure
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, ServicePlan
from abreast.core.previews import PreviewData, PreviewName
from abreast.core.schema import migration_files
from abreast.core.wording import counted
from abreast.database.interface import Database, Reporter
from abreast.deploy.data.backup import record_note, restore_workdir, threadsafe_reporter, verify_backup
from abreast.deploy.data.migration_runner import migration_stem, run_migrations
from abreast.deploy.data.plan import check_owner, migrations_at_commit, owner_name, plan_migrations
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.preview_history import plans_since_removal
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart


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
    names = {service.name for service in preview.services}
    if _is_made(_history(ports, project, preview.name, part.name), database, names):
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


@dataclass(frozen=True, slots=True)
class _History:
    """What the record says of a service's database in a preview.

    ``owner`` is the one that it records inside itself; ``owners`` has those of all services that the preview had, and
    under all names of the project. ``base_owners`` come along with a backup. ``was_planned``: a deployment found that
    there was none, and was to make it.
    """

    service: str
    what: str
    owner: str
    owners: Collection[str]
    base_owners: Collection[str]
    was_planned: bool


def _history(ports: Ports, project: str, environment: str, service: str) -> _History:
    preview, plans = PreviewName.parse(environment), plans_since_removal(ports.ledger, environment)
    assert preview
    projects = {project, *(plan.project for plan in plans)}
    parts = [part for plan in plans for part in plan.services]
    names = {service, *(part.name for part in parts)}
    makers = (part.database_plan for part in parts if part.name == service)
    return _History(
        service,
        f"the database for {service} of {environment}",
        owner_name(project, environment, service),
        {owner_name(known, environment, name) for known in projects for name in names},
        {owner_name(known, preview.base, service) for known in projects},
        any(made and made.copy_of is not None for made in makers),
    )


def _is_made(history: _History, database: Database, services: AbstractSet[str]) -> bool:
    """Whether the database exists and is whole. ``services`` are those that the preview has now.

    Raises RefusedError if this preview did not make it.
    """
    if not database.exists():
        return False
    recorded = database.owner()
    if not _is_own(history, recorded):
        check_owner(database, history.owner)
        raise RefusedError(
            f"{history.what} exists already, and abreast did not make it",
            need="the name of a copy that is free",
            next="rename or drop that database",
        )
    if recorded in history.base_owners:
        return False  # a restored backup, of which the end was not recorded
    if recorded and recorded != history.owner and recorded.rpartition("/")[2] not in services - {history.service}:
        return False  # the project or the service had another name
    check_owner(database, history.owner)
    return True


def _is_own(history: _History, recorded: str) -> bool:
    """Whether this preview made the database that records this owner, "" for none."""
    return recorded in history.owners or (history.was_planned and recorded in {"", *history.base_owners})


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
        database.claim(owner_name(project, environment, part.name))
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


def drop_preview_database(ports: Ports, environment: str, part: ServicePlan, report: Reporter) -> None:
    """Drop the database of a preview and what restores replaced, if it made them. Others stay, and are told."""
    plans = plans_since_removal(ports.ledger, environment)
    if not plans:
        return
    database, history = ports.open_database(part.service), _history(ports, plans[0].project, environment, part.name)
    if database.exists() and not _is_own(history, database.owner()):
        report(f"{history.what} stays: this preview did not make it")
        return
    made_by = {plan.deployment.lower() for plan in plans}
    for copy in database.list_copies():
        if copy.owner in made_by:
            database.drop_copy(copy)
    database.drop()
