"""Plan what a deployment does with a service's database, from its migration files and what the database applied."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.events import EventKind
from abreast.core.model import BreakingChangePolicy
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, ServicePlan
from abreast.core.schema import migration_files
from abreast.core.schema.migration_files import Migration
from abreast.core.schema.sql_checks import find_risks, transaction_end_fault
from abreast.database.interface import Database
from abreast.deploy.runtime.ports import Ports


def owner_name(project: str, environment: str, service: str) -> str:
    """Return the owner that a database records inside itself: ``project/environment/service``."""
    return f"{project}/{environment}/{service}"


def check_owner(database: Database, owner: str) -> None:
    """Raise RefusedError if the database belongs to another service or environment."""
    recorded = database.owner()
    if recorded and recorded != owner:
        raise RefusedError(
            f"this database belongs to {recorded}, not to {owner}; nothing was changed",
            need=f"the URL of the database of {owner}",
            next="check the variable that `database: url` names in abreast.yml",
        )


def migrations_at_commit(ports: Ports, commit: str, path: str) -> tuple[Migration, ...]:
    """Return the migrations of a commit. Raises UsageError with every fault in them."""
    inside = [file for file in ports.source.list_files(commit) if str(PurePosixPath(file).parent) == path]
    if not inside:
        raise UsageError(f"no migrations in {path} at {commit[:7]}", need="files such as 001_name.sql")
    contents = ports.source.read_files(commit, inside)
    found, faults = migration_files.parse_migrations(
        {PurePosixPath(name).name: content for name, content in contents.items()}
    )
    if faults:
        raise UsageError(
            "\n".join(f"{path}/{fault}" for fault in faults), need="migrations numbered without gaps or duplicates"
        )
    return found


def plan_database(
    ports: Ports, project: str, environment: Environment, part: ServicePlan, kind: DeploymentKind
) -> DatabasePlan | None:
    """Return what a deployment does with the database of one service, None if nothing.

    Raises UsageError for migrations that cannot be applied, DatabaseError if the database cannot be read.
    """
    used = part.service.database
    if used is None or not used.has_migrations or part.action is not Action.DEPLOY:
        return None
    database = ports.open_database(part.service)
    check_owner(database, owner_name(project, environment.name, part.name))
    return plan_migrations(ports, environment, part, kind, database)


def plan_migrations(
    ports: Ports, environment: Environment, part: ServicePlan, kind: DeploymentKind, database: Database
) -> DatabasePlan | None:
    """Return which migrations of a service run or are reversed in its database, None if none. Raises as above."""
    used = part.service.database
    assert used
    plan = DatabasePlan(environment.breaking)
    if not used.has_migrations:
        return None
    if used.command and kind is DeploymentKind.ROLLBACK:
        return _plan_command_reversal(ports, plan, part)
    if used.command:
        return replace(plan, command=True)
    assert used.migrations
    files = migrations_at_commit(ports, part.commit, used.migrations)
    applied = database.applied_migrations()
    without_file = migration_files.applied_without_file(files, applied)
    if without_file and kind is DeploymentKind.ROLLBACK:
        return _plan_backward(ports, plan, part, used.migrations, without_file)
    if without_file:
        raise UsageError(
            f"the database applied migrations that are not in {used.migrations}: {', '.join(without_file)}",
            need="a commit that contains them",
            next=f"abreast rollback --env {environment.name} --reason …",
        )
    migration_plan = migration_files.plan_migrations(files, applied)
    missing_downs = (
        migration_files.missing_down_faults(migration_plan.pending)
        if environment.breaking is BreakingChangePolicy.BLOCK
        else ()
    )
    if faults := (
        *migration_plan.faults,
        *missing_downs,
        *_transaction_faults(migration_plan.pending, database.engine),
    ):
        raise UsageError(
            "\n".join(f"{used.migrations}/{fault}" for fault in faults), need="migrations that can be applied"
        )
    if not migration_plan.pending:
        return None
    check_adopted(database, environment.name, part.name)
    return _plan_forward(plan, database, migration_plan.pending)


def check_adopted(database: Database, environment: str, service: str) -> None:
    """Raise UsageError if another tool has migrated the database: abreast would run its migrations once more."""
    if database.has_migrations_table() or not (history := database.foreign_history()):
        return
    raise UsageError(
        f"{history.tool} migrated the database of {service} ({history.table}), and abreast does not know what ran",
        need="its history in abreast's own table",
        next=f"abreast db baseline --env {environment} --service {service}",
    )


def _transaction_faults(pending: tuple[Migration, ...], engine: str) -> tuple[str, ...]:
    return tuple(
        f"{migration.name}:{fault}" for migration in pending if (fault := transaction_end_fault(migration.up, engine))
    )


def _plan_command_reversal(ports: Ports, plan: DatabasePlan, part: ServicePlan) -> DatabasePlan | None:
    """Return how to revert what the command of the live release did to the schema, or why that cannot be done.

    None if it changed nothing, as its rehearsal showed.
    """
    used, live = part.service.database, part.previous
    assert used
    if live is None:
        return None
    before = next(
        service.previous for service in ports.ledger.stored_plan(live.deployment).services if service.name == part.name
    )
    if before is None or before.commit != part.commit:
        return replace(
            plan,
            kept_reason=f"`{used.command}` may have run for several releases since; only the latest can be reverted",
        )
    if not has_changed_schema(ports, live.deployment, part.name):
        return None
    if not used.down:
        return replace(plan, kept_reason=f"`{used.command}` has no `down`")
    return replace(plan, command=True, since=live.commit)


def has_changed_schema(ports: Ports, deployment: str, service: str) -> bool:
    """Whether the migration of a deployment changed the schema of a service's database, as its rehearsal showed."""
    measured = (
        event
        for event in ports.ledger.events(deployment)
        if event.kind is EventKind.MEASURED and event.service == service
    )
    return any(event.data.get("schema") for event in measured)


def _plan_forward(plan: DatabasePlan, database: Database, pending: tuple[Migration, ...]) -> DatabasePlan:
    found = find_risks(pending, database.engine, database.tables(), database.estimate_row_counts())
    risks = () if plan.breaking is BreakingChangePolicy.ALLOW else tuple(map(str, found))
    return DatabasePlan(plan.breaking, up=tuple(migration.name for migration in pending), risks=risks)


def _plan_backward(
    ports: Ports, plan: DatabasePlan, part: ServicePlan, path: str, without_file: tuple[str, ...]
) -> DatabasePlan:
    """Return the migrations to revert, or why the schema cannot be reverted."""
    since = part.previous.commit if part.previous else ""
    try:
        known = migrations_at_commit(ports, since, path) if since else ()
    except UsageError:
        known = ()
    down, stays = migration_files.plan_down(without_file, known)
    return DatabasePlan(plan.breaking, down=tuple(migration.name for migration in down), since=since, kept_reason=stays)


def refuse_breaking_changes(parts: Mapping[str, DatabasePlan]) -> None:
    """Raise RefusedError if a migration would break or block the running version, and the environment blocks that."""
    found = [
        f"{service}: {risk}"
        for service, data in parts.items()
        if data.breaking is BreakingChangePolicy.BLOCK
        for risk in data.risks
    ]
    if found:
        raise RefusedError(
            "these migrations would break or block the running version:\n  " + "\n  ".join(found),
            need="expand first, and contract in a later release with `-- contract: REASON` in that file",
            next="abreast plan",
        )
