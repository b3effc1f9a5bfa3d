"""Commands for databases: backups, migrations, restores, drills."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from abreast.cli.commands.continuous_backups import continuous_backups, wait_until_stopped
from abreast.cli.commands.database_copies import list_copies
from abreast.cli.commands.deployments import DeployCommand
from abreast.cli.commands.schedules import RecordedFailureError, report_failure, report_recovery, run_on_schedule
from abreast.cli.redaction import redact
from abreast.cli.target import Target, load_target
from abreast.cli.views import databases as view
from abreast.config.load import ProjectConfig
from abreast.core.backups import Backup
from abreast.core.codec import dump
from abreast.core.environment import Environment
from abreast.core.errors import AbreastError, DatabaseError, UsageError
from abreast.core.model import Service
from abreast.core.plan import DeploymentKind
from abreast.core.wording import counted
from abreast.deploy.data.backup import (
    VERIFIED_COPY,
    database_copy,
    prune_backups,
    restore_workdir,
    take_backup,
    verify_backup,
)
from abreast.deploy.data.plan import owner_name
from abreast.deploy.planning import DeployRequest, plan_deployment
from abreast.deploy.runtime.ports import Ports
from abreast.notify.interface import OccurrenceKind
from abreast.wiring.workspace import utc_now

MANUAL = "backup"
RECORDING_LATE = 300.0
"""Seconds after which a continuous backup that ships nothing is a fault."""


def backup(environment: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Back databases up now, or on the schedule of abreast.yml."""
    target = load_target(environment)
    if scheduled:
        return _back_up_on_schedule(target, services)
    backups = _create_backups(target, services)
    if as_json:
        print(json.dumps([dump(backup) for backup in backups], indent=2))
    else:
        _print_redacted(view.backup_lines(backups))
    return 0


def _back_up_on_schedule(target: Target, services: tuple[str, ...]) -> int:
    settings, topic = target.project.backups, ",".join(sorted(services))

    def back_up_once() -> None:
        _create_backups(target, services)
        report_recovery(target, OccurrenceKind.BACKUP_RESUMED, topic, "the scheduled backup works again")

    def back_up() -> int:
        report = partial(report_failure, target, OccurrenceKind.BACKUP_FAILED, topic=topic)
        return run_on_schedule(settings.schedule, settings.timezone, "schedule", report, back_up_once)

    if settings.continuous is None:
        return back_up()
    recorded = _database_services(target.environment, services)
    servers = target.assembly.servers(target.environment.name)
    servers.start(recorded)
    if note := servers.note(recorded):
        raise DatabaseError(note, next=f"abreast deploy --env {target.environment.name}")
    with continuous_backups(target, recorded, settings.continuous):
        if settings.schedule is None:
            return wait_until_stopped()
        return back_up()


def _create_backups(target: Target, services: tuple[str, ...]) -> list[Backup]:
    workspace, environment = target.workspace, target.environment
    backups = []
    with workspace.open_ledger() as ledger:
        ports, live = target.assembly.ports(environment.name, ledger), ledger.live_services(environment.name)
        ports.servers.start(_database_services(environment, services))
        for service in _database_services(environment, services):
            database = ports.open_database(service)
            if not database.exists():
                raise DatabaseError(
                    f"the database of {service.name} does not exist yet",
                    next=f"abreast deploy --env {environment.name}",
                )
            ledger.record_act(environment.name, "db backup", "begun", detail=service.name)
            copy = database_copy(database, VERIFIED_COPY, MANUAL)
            owner = owner_name(target.project.name, environment.name, service.name)
            with _only_backup(target, service):
                workdir = restore_workdir(ports, MANUAL)
                try:
                    backups.append(take_backup(ports, database, owner, live.get(service.name), copy, workdir))
                finally:
                    copy.drop()
            prune_backups(ports, environment.name, service.name)
    return backups


@contextmanager
def _only_backup(target: Target, service: Service) -> Iterator[None]:
    """Hold the lock of a database's backups for the block. Raises DatabaseError if another command holds it."""
    lock = target.workspace.machine_lock(f"{target.environment.name}.{service.name}.{MANUAL}")
    with lock.try_acquire({"since": utc_now()}) as free:
        if not free:
            raise DatabaseError(f"another backup of {service.name} is running", next="abreast db list")
        yield


def verify(backup: str, environment: str | None, services: tuple[str, ...], *, every: bool) -> int:
    """Restore stored backups into copies and compare their rows. Returns 1 if one cannot be restored."""
    target = load_target(environment)
    workspace, name = target.workspace, target.environment.name
    intact = True
    with workspace.open_ledger() as ledger:
        ports = target.assembly.ports(name, ledger)
        ports.servers.start(_database_services(target.environment, services))
        for service in _database_services(target.environment, services):
            stored = (
                ports.open_vault().list_backups(name, service.name)
                if every
                else [ports.open_vault().find_backup(name, service.name, backup)]
            )
            with _only_backup(target, service):
                for found in stored:
                    intact &= _verify_stored(ports, service, found)
    return 0 if intact else 1


def _verify_stored(ports: Ports, service: Service, stored: Backup) -> bool:
    """Restore a backup into a copy, print what came of it, and return whether it is intact."""
    copy = database_copy(ports.open_database(service), VERIFIED_COPY, MANUAL)
    try:
        restored = verify_backup(ports, stored, copy, restore_workdir(ports, MANUAL))
    except DatabaseError as error:
        _print_redacted([f"{stored.name}  CANNOT BE RESTORED: {error}"])
        return False
    finally:
        copy.drop()
    verified = stored.as_verified(ports.now(), restored.gaps)
    if not stored.recorded:
        ports.open_vault().write_metadata(verified)
    _print_redacted([f"{stored.name}  {counted(sum(restored.stats.rows.values()), 'row')}, {view.verdict(verified)}"])
    return True


def list_backups(environment: str | None, services: tuple[str, ...], *, copies: bool, as_json: bool) -> int:
    """List backups, newest first; with ``copies``, the copies of the databases instead."""
    target = load_target(environment)
    if copies:
        return list_copies(target, _database_services(target.environment, services), as_json=as_json)
    vault, environment_name = target.assembly.open_vault(), target.environment.name
    names = [service.name for service in _database_services(target.environment, services)]
    backups = [backup for name in names for backup in vault.list_backups(environment_name, name)]
    if as_json:
        print(json.dumps([dump(backup) for backup in backups], indent=2))
        return 0
    recorded = {name: vault.change_archive(environment_name, name).recoverable() for name in names}
    moments = [view.moments_line(name, manifest) for name, manifest in recorded.items() if manifest]
    nothing = [f"no backup yet. next: abreast db backup --env {environment_name}"]
    _print_redacted([*moments, *view.backup_lines(backups)] or nothing)
    return 0


def status(environment: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Show migrations, size and newest backup of each database. Returns 1 if one has a fault."""
    target = load_target(environment)
    with target.workspace.open_ledger() as ledger:
        ports = target.assembly.ports(target.environment.name, ledger)
        databases = {
            service.name: _database_status(ports, target.project, target.environment, service)
            for service in _database_services(target.environment, services)
        }
    if as_json:
        print(redact(json.dumps(databases, indent=2)))
    else:
        _print_redacted(view.status_lines(databases))
    return 1 if any(state["faults"] for state in databases.values()) else 0


def _database_status(
    ports: Ports, project: ProjectConfig, environment: Environment, service: Service
) -> dict[str, Any]:
    vault = ports.open_vault()
    trusted = [backup for backup in vault.list_backups(environment.name, service.name) if backup.is_trusted]
    manifest = vault.change_archive(environment.name, service.name).recoverable()
    points = [*(backup.at for backup in trusted[:1]), *([manifest.until] if manifest else [])]
    state: dict[str, Any] = {
        "faults": [],
        "command": service.database.command if service.database else None,
        "backup": trusted[0].name if trusted else None,
        "backup_age": view.seconds_since(trusted[0].at) if trusted else None,
        "recorded_until": manifest.until if manifest else None,
    }
    age = min(map(view.seconds_since, points), default=None)
    if environment.rpo is not None and (age is None or age > environment.rpo):
        newest = (
            "no verified backup" if age is None else f"the newest recovery point is {view.format_duration(age)} old"
        )
        state["faults"].append(
            f"{newest}; the recovery point objective (rpo) is {view.format_duration(environment.rpo)}"
        )
    if project.backups.continuous and (manifest is None or view.seconds_since(manifest.until) > RECORDING_LATE):
        state["faults"].append(
            "its changes are not recorded now; needed: `abreast db backup --scheduled`, running as a service"
        )
    try:
        database = ports.open_database(service)
        contents, applied = database.stats(), database.applied_migrations()
        state |= {
            "engine": database.engine,
            "version": database.engine_version(),
            "size": contents.size,
            "rows": contents.rows,
        }
        state["copies"] = [copy.name for copy in database.list_copies()]
        state |= {"owner": database.owner(), "applied": [dump(migration) for migration in applied]}
        request = DeployRequest(DeploymentKind.MIGRATE, (service.name,))
        planned = asyncio.run(plan_deployment(ports, project.name, environment, request))
        data = next((part.database_plan for part in planned.services if part.name == service.name), None)
        state |= {"pending": list(data.up) if data else [], "risks": list(data.risks) if data else []}
    except AbreastError as error:
        state["faults"].append(str(error))
    return state


def migrate(environment: str | None, services: tuple[str, ...], *, yes: bool, as_json: bool) -> int:
    """Migrate databases to the current commit, after a backup and a rehearsal."""
    return _run_request(environment, DeployRequest(DeploymentKind.MIGRATE, services), yes=yes, as_json=as_json)[0]


def rehearse(environment: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Run pending migrations on a restored copy only."""
    return _run_request(environment, DeployRequest(DeploymentKind.REHEARSE, services), yes=True, as_json=as_json)[0]


def drill(environment: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Rehearse disaster recovery on a copy, now or on the schedule of abreast.yml."""
    request = DeployRequest(DeploymentKind.DRILL, services)
    if not scheduled:
        return _run_request(environment, request, yes=True, as_json=as_json)[0]
    target = load_target(environment)
    settings, report = target.project.backups, partial(report_failure, target, OccurrenceKind.DRILL_FAILED)

    def run_drill() -> None:
        code, turned_back = _run_request(environment, request, yes=True, as_json=as_json)
        if turned_back:
            raise KeyboardInterrupt  # Ctrl-C during a scheduled drill ends the schedule too
        if code:
            raise RecordedFailureError("the drill failed", next="abreast show")

    return run_on_schedule(settings.drill, settings.timezone, "drill", report, run_drill)


def restore(
    backup: str, environment: str | None, services: tuple[str, ...], reason: str, *, yes: bool, as_json: bool
) -> int:
    """Replace a database by a backup, after showing what would be lost."""
    target = load_target(environment)
    names = [service.name for service in _database_services(target.environment, services)]
    if len(names) > 1:
        raise UsageError(f"several services have a database: {', '.join(names)}", need="--service with one of them")
    request = DeployRequest(DeploymentKind.RESTORE, tuple(names), reason=reason, backup=backup)
    with target.workspace.open_ledger() as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json)
        command.confirm_data_loss(command.plan(target, request), yes=yes)
        return command.deploy(target, request)


def _run_request(environment: str | None, request: DeployRequest, *, yes: bool, as_json: bool) -> tuple[int, bool]:
    """Plan, ask for confirmation, run. Returns the exit code and whether Ctrl-C turned it back."""
    target = load_target(environment)
    _database_services(target.environment, request.services)
    with target.workspace.open_ledger() as ledger:
        command = DeployCommand(target.assembly, target.environment.name, ledger, as_json=as_json)
        command.confirm_plan(command.plan(target, request), yes=yes)
        return command.deploy(target, request), command.turned_back


def _database_services(environment: Environment, requested: Sequence[str]) -> list[Service]:
    """Return the services that have a database, only the requested ones if any. Raises UsageError if there is none."""
    services = [service for service in environment.services if service.database]
    names = [service.name for service in services]
    for name in requested:
        if name not in names:
            raise UsageError(f"{name} has no database", need=f"one of: {', '.join(names) or 'none has one'}")
    if not services:
        raise UsageError("no service has a database", need="`database: {url: …}` of a service in abreast.yml")
    return [service for service in services if not requested or service.name in requested]


def _print_redacted(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        print(redact(line), flush=True)
