"""``abreast db baseline``: record migrations as applied that another tool, or a person, ran before abreast came."""

from collections.abc import Sequence

from abreast.cli.confirmation import confirm
from abreast.cli.target import Target, hold_environment, load_target
from abreast.core.errors import UsageError
from abreast.core.model import Service
from abreast.core.schema.migration_files import Migration, adopt_history
from abreast.core.schema.migration_formats import parse_version
from abreast.core.wording import counted
from abreast.database.interface import Database
from abreast.deploy.data.plan import check_owner, migrations_at_commit, owner_name
from abreast.deploy.runtime.ports import Ports


def baseline(environment: str | None, services: tuple[str, ...], to: str | None, *, yes: bool) -> int:
    """Record migrations as applied, without running them: those of another tool's history, or all up to ``to``."""
    target = load_target(environment)
    name = target.environment.name
    with target.workspace.open_ledger() as ledger, hold_environment(target.workspace, name, ledger):
        service, ports = _migrated_service(target, services), target.assembly.ports(name, ledger)
        ports.servers.make([service])
        database = ports.open_database(service)
        check_owner(database, owner_name(target.project.name, name, service.name))
        migrations = _adopted_migrations(ports, service, database, to)
        for migration in migrations:
            print(f"  {migration.name}")
        question = f"Record {counted(len(migrations), 'migration')} as applied, without running them?"
        confirm(question, "this record", yes=yes)
        ledger.record_act(
            name, "db baseline", "begun", detail=f"{service.name}: {', '.join(m.name for m in migrations)}"
        )
        with database.migration_lock():
            database.record_as_applied(migrations)
    print(f"{counted(len(migrations), 'migration')} recorded as applied. next: abreast db status --env {name}")
    return 0


def _migrated_service(target: Target, requested: Sequence[str]) -> Service:
    """Return the one service whose migrations abreast runs. Raises UsageError if there is none, or a choice."""
    services = [
        service
        for service in target.environment.services
        if service.database and service.database.migrations and (not requested or service.name in requested)
    ]
    if len(services) != 1:
        names = ", ".join(service.name for service in services)
        raise UsageError(
            f"several services have migrations: {names}" if services else "no such service has a folder of migrations",
            need="--service with one whose `database` has `migrations`",
        )
    return services[0]


def _adopted_migrations(ports: Ports, service: Service, database: Database, to: str | None) -> tuple[Migration, ...]:
    """Return the migrations to record. Raises UsageError if that is not clear, or if abreast has a history already."""
    assert service.database
    assert service.database.migrations
    if recorded := database.applied_migrations():
        raise UsageError(
            f"abreast has recorded {counted(len(recorded), 'migration')} of {service.name} already",
            next="abreast db status",
        )
    files = migrations_at_commit(ports, ports.source.resolve_commit(), service.database.migrations)
    if to is not None:
        version = parse_version(to)
        return tuple(migration for migration in files if migration.version <= version)
    history = database.foreign_history()
    if history is None:
        raise UsageError(
            f"found no history of another tool in the database of {service.name}",
            need="--to with the number of the last migration that ran, or 0 if none did",
        )
    print(f"the history of {history.tool}, in {history.table}:")
    try:
        return adopt_history(files, history)
    except ValueError as error:
        raise UsageError(
            str(error), need="a history that fits the files, or --to with the number of the last one that ran"
        ) from error
