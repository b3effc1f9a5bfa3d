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
from abreast.deploy.data.rollback_risks import rollback_risks
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
        return _plan_backward(ports, environment, part, without_file, database)
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
    up = tuple(migration.name for migration in pending)
    _, stays = migration_files.plan_down(up, pending)
    return DatabasePlan(plan.breaking, up=up, risks=risks, irreversible=up if stays else ())


def _plan_backward(
    ports: Ports, environment: Environment, part: ServicePlan, without_file: tuple[str, ...], database: Database
) -> DatabasePlan:
    """Return the migrations to revert, or why the schema cannot be reverted, and what of it would break the release.

    What is reverted in a moment does not block.
    """
    since = part.previous.commit if part.previous else ""
    assert part.service.database
    assert part.service.database.migrations
    try:
        known = migrations_at_commit(ports, since, part.service.database.migrations) if since else ()
    except UsageError:
        known = ()
    down, stays = migration_files.plan_down(without_file, known)
    ran = [migration for migration in known if {migration.name, migration.name.removesuffix(".sql")} & {*without_file}]
    allowed = environment.breaking is BreakingChangePolicy.ALLOW
    risks = () if allowed else rollback_risks(ports, environment.name, part, ran, database)
    breaking = environment.breaking if stays else BreakingChangePolicy.WARN
    names = tuple(migration.name for migration in down)
    return DatabasePlan(breaking, down=names, since=since, kept_reason=stays, risks=risks)


def refuse_breaking_changes(parts: Mapping[str, DatabasePlan]) -> None:
    """Raise RefusedError if a migration would break or block a version that runs on it, and that is to be blocked.

    That is the running version, or of a rollback the one that it leads to.
    """
    blocked = {name: data for name, data in parts.items() if data.breaking is BreakingChangePolicy.BLOCK and data.risks}
    backward = {name: data for name, data in blocked.items() if data.kept_reason}
    if backward:
        stays = "; ".join(data.kept_reason for data in backward.values())
        raise RefusedError(
            f"the schema is too new for that release:{_risk_lines(backward)}",
            need=f"a release that these migrations do not break, since they are not reverted: {stays}",
            next="abreast rollback --to a newer release, or with --restore-data",
        )
    if blocked:
        raise RefusedError(
            f"these migrations would break or block the running version:{_risk_lines(blocked)}",
            need="expand first, and contract in a later release with `-- contract: REASON` in that file",
            next="abreast plan",
        )


def _risk_lines(parts: Mapping[str, DatabasePlan]) -> str:
    return "".join(f"\n  {name}: {risk}" for name, data in parts.items() for risk in data.risks)
