"""Commands for databases: what is there, what is backed up, and the way back."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cronsim import CronSim

from abreast.cli.commands.deployments import DeployCommand
from abreast.cli.redaction import redact, register_secrets
from abreast.cli.target_selection import choose_environment
from abreast.cli.views import databases as view
from abreast.config.load import ProjectConfig
from abreast.core.backups import Backup
from abreast.core.codec import dump
from abreast.core.errors import AbreastError, DatabaseError, UsageError
from abreast.core.model import DeploymentKind, Environment, Service
from abreast.deploy import operations
from abreast.deploy.data.backup import VERIFIED_COPY, database_copy, prune_backups, restore_workdir, take_backup
from abreast.deploy.data.plan import owner_name
from abreast.deploy.planning import DeployRequest, plan_deployment
from abreast.deploy.runtime.ports import Ports
from abreast.wiring.workspace import Workspace, utc_now

MANUAL = "backup"


def backup(
    cwd: Path, environment_name: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool
) -> int:
    """Back databases up now, or whenever the schedule says so."""
    workspace, project, environment = _load_environment(cwd, environment_name)
    if scheduled:
        settings = project.backups
        return _run_on_schedule(
            settings.schedule,
            "schedule",
            settings.alert,
            lambda: _create_backups(workspace, project, environment, services),
        )
    backups = _create_backups(workspace, project, environment, services)
    if as_json:
        print(json.dumps([dump(one) for one in backups], indent=2))
    else:
        _print_redacted(view.backup_lines(backups))
    return 0


def _create_backups(
    workspace: Workspace, project: ProjectConfig, environment: Environment, services: tuple[str, ...]
) -> list[Backup]:
    backups = []
    with workspace.open_ledger() as ledger:
        ports, live = workspace.ports(environment.name, ledger), ledger.live_services(environment.name)
        for service in _database_services(environment, services):
            database = ports.open_database(service)
            if not database.exists():
                raise DatabaseError(
                    f"the database of {service.name} is not there yet", next=f"abreast deploy --env {environment.name}"
                )
            copy = database_copy(database, VERIFIED_COPY, MANUAL)
            owner = owner_name(project.name, environment.name, service.name)
            with workspace.environment_lock(f"{environment.name}.{service.name}.{MANUAL}").try_acquire(
                {"since": utc_now()}
            ) as free:
                if not free:
                    raise DatabaseError(f"another backup of {service.name} is under way", next="abreast db list")
                try:
                    backups.append(
                        take_backup(
                            ports, database, owner, live.get(service.name), copy, restore_workdir(ports, MANUAL)
                        )
                    )
                finally:
                    copy.drop()
            prune_backups(ports, environment.name, service.name)
    return backups


def list_backups(cwd: Path, environment_name: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """List backups, newest first."""
    workspace, _, environment = _load_environment(cwd, environment_name)
    vault = workspace.open_vault()
    backups = [
        one
        for service in _database_services(environment, services)
        for one in vault.list_backups(environment.name, service.name)
    ]
    if as_json:
        print(json.dumps([dump(one) for one in backups], indent=2))
    else:
        _print_redacted(
            view.backup_lines(backups)
            if backups
            else [f"there is no backup yet. next: abreast db backup --env {environment.name}"]
        )
    return 0


def status(cwd: Path, environment_name: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Say how each database stands: its migrations, its size, its newest backup; exits 1 where something is wrong."""
    workspace, project, environment = _load_environment(cwd, environment_name)
    with workspace.open_ledger() as ledger:
        ports = workspace.ports(environment.name, ledger)
        found = {
            one.name: _database_status(ports, project, environment, one)
            for one in _database_services(environment, services)
        }
    if as_json:
        print(redact(json.dumps(found, indent=2)))
    else:
        _print_redacted(view.status_lines(found))
    return 1 if any(one["faults"] for one in found.values()) else 0


def _database_status(
    ports: Ports, project: ProjectConfig, environment: Environment, service: Service
) -> dict[str, Any]:
    verified = [one for one in ports.vault.list_backups(environment.name, service.name) if one.verified]
    age = view.seconds_since(verified[0].at) if verified else None
    state: dict[str, Any] = {"faults": [], "backup": verified[0].name if verified else None, "backup_age": age}
    if environment.rpo is not None and (age is None or age > environment.rpo):
        newest = (
            "there is no good backup" if age is None else f"the newest good backup is {view.format_duration(age)} old"
        )
        state["faults"].append(f"{newest}; rpo is {view.format_duration(environment.rpo)}")
    try:
        database = ports.open_database(service)
        contents, applied = database.stats(), database.applied_migrations()
        state |= {
            "engine": database.engine,
            "version": database.engine_version(),
            "size": contents.size,
            "rows": contents.rows,
        }
        state |= {"owner": database.owner(), "applied": [dump(one) for one in applied]}
        request = DeployRequest(DeploymentKind.MIGRATE, (service.name,))
        planned = asyncio.run(plan_deployment(ports, project.name, environment, request))
        data = next((part.database_plan for part in planned.services if part.name == service.name), None)
        state |= {"pending": list(data.up) if data else [], "risks": list(data.risks) if data else []}
    except AbreastError as error:
        state["faults"].append(str(error))
    return state


def migrate(cwd: Path, environment_name: str | None, services: tuple[str, ...], *, yes: bool, as_json: bool) -> int:
    """Bring databases up to date with the commit, after a backup and a rehearsal, without a deployment."""
    return _run_request(
        cwd, environment_name, DeployRequest(DeploymentKind.MIGRATE, services), yes=yes, as_json=as_json
    )[0]


def rehearse(cwd: Path, environment_name: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Run what is pending on a restored copy only."""
    return _run_request(
        cwd, environment_name, DeployRequest(DeploymentKind.REHEARSE, services), yes=True, as_json=as_json
    )[0]


def drill(cwd: Path, environment_name: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Do the disaster on a copy, now, or whenever the schedule says so."""
    request = DeployRequest(DeploymentKind.DRILL, services)
    if not scheduled:
        return _run_request(cwd, environment_name, request, yes=True, as_json=as_json)[0]
    _, project, _ = _load_environment(cwd, environment_name)

    def run_drill() -> None:
        code, turned_back = _run_request(cwd, environment_name, request, yes=True, as_json=as_json)
        if turned_back:
            raise KeyboardInterrupt  # whoever ends a drill of a schedule ends the schedule
        if code:
            raise DatabaseError("the drill failed", next="abreast show")

    return _run_on_schedule(project.backups.drill, "drill", project.backups.alert, run_drill)


def restore(
    cwd: Path,
    backup_name: str,
    environment_name: str | None,
    services: tuple[str, ...],
    reason: str,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Put a backup in a database's place, after saying what would be lost."""
    workspace, project, environment = _load_environment(cwd, environment_name)
    names = [one.name for one in _database_services(environment, services)]
    if len(names) > 1:
        raise UsageError(f"which database? {', '.join(names)}", need="--service with one of them")
    request = DeployRequest(DeploymentKind.RESTORE, tuple(names), reason=reason, backup=backup_name)
    with workspace.open_ledger() as ledger:
        command = DeployCommand(workspace, environment.name, ledger, as_json=as_json)
        command.confirm_data_loss(
            asyncio.run(plan_deployment(command.ports(), project.name, environment, request)), yes=yes
        )
        return command.run(lambda on: operations.deploy(on, project.name, environment, request))


def _run_request(
    cwd: Path, environment_name: str | None, request: DeployRequest, *, yes: bool, as_json: bool
) -> tuple[int, bool]:
    """Carry it out, and return the exit code, and whether an interrupt turned it back."""
    workspace, project, environment = _load_environment(cwd, environment_name)
    _database_services(environment, request.services)
    with workspace.open_ledger() as ledger:
        command = DeployCommand(workspace, environment.name, ledger, as_json=as_json)
        command.confirm_plan(asyncio.run(plan_deployment(command.ports(), project.name, environment, request)), yes=yes)
        return command.run(lambda on: operations.deploy(on, project.name, environment, request)), command.turned_back


def _load_environment(cwd: Path, environment_name: str | None) -> tuple[Workspace, ProjectConfig, Environment]:
    workspace = Workspace.locate(cwd, os.environ)
    project = workspace.load_project()
    environment = project.environment(choose_environment(project.environments, environment_name))
    register_secrets(workspace.secret_values(environment))
    return workspace, project, environment


def _database_services(environment: Environment, services: Sequence[str]) -> list[Service]:
    known = [one for one in environment.services if one.database]
    names = [one.name for one in known]
    for name in services:
        if name not in names:
            raise UsageError(f"{name} has no database", need=f"one of: {', '.join(names) or 'none has one'}")
    if not known:
        raise UsageError("no service has a database", need="`database: {url: …}` at a service in abreast.yml")
    return [one for one in known if not services or one.name in services]


# ── schedules ──────────────────────────────────────────────────────────────────────────────────


def _run_on_schedule(cron: str | None, setting: str, alert: str | None, task: Callable[[], object]) -> int:
    """Do it whenever the schedule says so, until Ctrl-C; a failure is told, and the alert is run."""
    if cron is None:
        raise UsageError(f"there is no schedule: backups: {setting} in abreast.yml", need="one such as 0 3 * * *")
    while True:
        _wait_until(next(_fire_times(cron)))
        try:
            task()
        except Exception as error:  # noqa: BLE001 (whatever one time brings, the next one comes)
            message = redact(str(error) if isinstance(error, AbreastError) else f"{type(error).__name__}: {error}")
            print(f"abreast: {message}", file=sys.stderr, flush=True)
            if alert:
                _run_alert(alert, message)


def _fire_times(cron: str) -> Iterator[datetime]:
    return CronSim(cron, datetime.now().astimezone())


def _wait_until(moment: datetime) -> None:
    print(f"next at {moment:%Y-%m-%d %H:%M:%S}", file=sys.stderr, flush=True)
    while (left := (moment - datetime.now().astimezone()).total_seconds()) > 0:
        time.sleep(min(left, 30))  # a clock that is set is followed


def _run_alert(command: str, message: str) -> None:
    done = subprocess.run(["/bin/sh", "-c", command], env={**os.environ, "ABREAST_ALERT": message}, check=False)
    if done.returncode:
        print(redact(f"abreast: the alert ended with {done.returncode}: {command}"), file=sys.stderr, flush=True)


def _print_redacted(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        print(redact(line), flush=True)
