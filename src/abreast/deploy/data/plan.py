"""What a deployment would do with a service's database: decided from its files, and from what ran there."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from abreast.core.errors import RefusedError, UsageError
from abreast.core.events import EventKind
from abreast.core.model import Action, BreakingChangePolicy, DatabasePlan, DeploymentKind, Environment, ServicePlan
from abreast.core.schema import compatibility, migration_files
from abreast.core.schema.migration_files import Migration
from abreast.core.schema.sql_statements import transaction_end_fault
from abreast.database.interface import Database
from abreast.deploy.runtime.ports import Ports


def owner_name(project: str, environment: str, service: str) -> str:
    """Return what the database of a service is noted to be, in itself."""
    return f"{project}/{environment}/{service}"


def check_owner(database: Database, owner: str) -> None:
    """Raise RefusedError where the database is noted to be another environment's."""
    noted = database.owner()
    if noted and noted != owner:
        raise RefusedError(
            f"this database is that of {noted}, not of {owner}; nothing was touched",
            need="the URL of its own database",
            next="look at the variable that abreast.yml names",
        )


def migrations_at_commit(ports: Ports, commit: str, path: str) -> tuple[Migration, ...]:
    """Return the migrations of a commit; raises UsageError that lists what is wrong with them."""
    inside = [file for file in ports.source.list_files(commit) if str(PurePosixPath(file).parent) == path]
    if not inside:
        raise UsageError(f"there are no migrations in {path} at {commit[:7]}", need="files such as 001_name.sql")
    contents = ports.source.read_files(commit, inside)
    found, faults = migration_files.parse_migrations(
        {PurePosixPath(name).name: content for name, content in contents.items()}
    )
    if faults:
        raise UsageError("\n".join(f"{path}/{fault}" for fault in faults), need="each number once, none left out")
    return found


def plan_database(
    ports: Ports, project: str, environment: Environment, part: ServicePlan, kind: DeploymentKind
) -> DatabasePlan | None:
    """Return what a deployment does with the database of one service, None where it leaves it alone.

    Raises UsageError for migrations that must not be run, DatabaseError where the database cannot be asked.
    """
    used = part.service.database
    if used is None or not used.has_migrations or part.action is not Action.DEPLOY:
        return None
    database = ports.open_database(part.service)
    check_owner(database, owner_name(project, environment.name, part.name))
    plan = DatabasePlan(environment.breaking)
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
            f"these ran in the database and are not in {used.migrations}: {', '.join(without_file)}",
            need="a commit that has them",
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
        raise UsageError("\n".join(f"{used.migrations}/{fault}" for fault in faults), need="files that may be run")
    if not migration_plan.pending:
        return None
    return _plan_forward(plan, database, migration_plan.pending)


def _transaction_faults(pending: tuple[Migration, ...], engine: str) -> tuple[str, ...]:
    return tuple(f"{one.name}:{fault}" for one in pending if (fault := transaction_end_fault(one.up, engine)))


def _plan_command_reversal(ports: Ports, plan: DatabasePlan, part: ServicePlan) -> DatabasePlan | None:
    """Return how what a command did to the schema for the live release is taken back, or why it stays.

    None where it did nothing to it, as its rehearsal showed.
    """
    used, live = part.service.database, part.previous
    assert used
    if live is None:
        return None
    before = next(one.previous for one in ports.ledger.stored_plan(live.deployment).services if one.name == part.name)
    if before is None or before.commit != part.commit:
        return replace(
            plan, kept_reason=f"`{used.command}` may have run for several releases since; one at a time can go back"
        )
    if not has_changed_schema(ports, live.deployment, part.name):
        return None
    if not used.down:
        return replace(plan, kept_reason=f"`{used.command}` has no `down`")
    return replace(plan, command=True, since=live.commit)


def has_changed_schema(ports: Ports, deployment: str, service: str) -> bool:
    """Tell whether what a deployment ran on a service's database made a difference to it, as its rehearsal showed."""
    measured = (
        one for one in ports.ledger.events(deployment) if one.kind is EventKind.MEASURED and one.service == service
    )
    return any(one.data.get("schema") for one in measured)


def _plan_forward(plan: DatabasePlan, database: Database, pending: tuple[Migration, ...]) -> DatabasePlan:
    found = compatibility.find_risks(pending, database.engine, database.tables(), database.estimate_row_counts())
    risks = () if plan.breaking is BreakingChangePolicy.ALLOW else tuple(map(str, found))
    return DatabasePlan(plan.breaking, up=tuple(one.name for one in pending), risks=risks)


def _plan_backward(
    ports: Ports, plan: DatabasePlan, part: ServicePlan, path: str, without_file: tuple[str, ...]
) -> DatabasePlan:
    """Return what takes back what the live release brought, or why the schema stays."""
    since = part.previous.commit if part.previous else ""
    try:
        known = migrations_at_commit(ports, since, path) if since else ()
    except UsageError:
        known = ()
    down, stays = migration_files.plan_down(without_file, known)
    return DatabasePlan(plan.breaking, down=tuple(one.name for one in down), since=since, kept_reason=stays)


def refuse_breaking_changes(parts: Mapping[str, DatabasePlan]) -> None:
    """Raise RefusedError where the running version could not live with what is to be run, and that is not wanted."""
    found = [
        f"{service}: {risk}"
        for service, data in parts.items()
        if data.breaking is BreakingChangePolicy.BLOCK
        for risk in data.risks
    ]
    if found:
        raise RefusedError(
            "the running version could not live with these, or would stand still meanwhile:\n  " + "\n  ".join(found),
            need="expand first, contract in a later release: then say `-- contract: REASON` in that file",
            next="abreast plan",
        )
