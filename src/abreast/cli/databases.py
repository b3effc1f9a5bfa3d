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

from abreast.cli.choosing import choose_environment
from abreast.cli.deploying import CommandDesk
from abreast.cli.hiding import hide, know
from abreast.cli.views import data as view
from abreast.config.load import Project
from abreast.core.backups import Backup
from abreast.core.codec import dump
from abreast.core.errors import AbreastError, DatabaseError, UsageError
from abreast.core.model import Environment, Kind, Service
from abreast.deploy import session
from abreast.deploy.backup import VERIFIED, copy_of, forget, room_of, take
from abreast.deploy.course import owner_of
from abreast.deploy.planning import Request, propose
from abreast.deploy.ports import Ports
from abreast.wiring.workspace import Place, utc_now

BY_HAND = "backup"


def backup(here: Path, name: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Back databases up now, or whenever the schedule says so."""
    place, project, environment = _opened(here, name)
    if scheduled:
        said = project.backups
        return _on_schedule(
            said.schedule, "schedule", said.alert, lambda: _back_up(place, project, environment, services)
        )
    made = _back_up(place, project, environment, services)
    if as_json:
        print(json.dumps([dump(one) for one in made], indent=2))
    else:
        _print(view.backups(made))
    return 0


def _back_up(place: Place, project: Project, environment: Environment, services: tuple[str, ...]) -> list[Backup]:
    made = []
    with place.ledger() as ledger:
        ports, live = place.ports(environment.name, ledger), ledger.live(environment.name)
        for service in _with_database(environment, services):
            database = ports.database(service)
            if not database.exists():
                raise DatabaseError(
                    f"the database of {service.name} is not there yet", next=f"abreast deploy --env {environment.name}"
                )
            copy = copy_of(database, VERIFIED, BY_HAND)
            owner = owner_of(project.name, environment.name, service.name)
            with place.lock(f"{environment.name}.{service.name}.{BY_HAND}").try_hold({"since": utc_now()}) as free:
                if not free:
                    raise DatabaseError(f"another backup of {service.name} is under way", next="abreast db list")
                try:
                    made.append(take(ports, database, owner, live.get(service.name), copy, room_of(ports, BY_HAND)))
                finally:
                    copy.drop()
            forget(ports, environment.name, service.name)
    return made


def list_(here: Path, name: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """List backups, newest first."""
    place, _, environment = _opened(here, name)
    vault = place.vault()
    found = [
        one for service in _with_database(environment, services) for one in vault.list(environment.name, service.name)
    ]
    if as_json:
        print(json.dumps([dump(one) for one in found], indent=2))
    else:
        _print(
            view.backups(found)
            if found
            else [f"there is no backup yet. next: abreast db backup --env {environment.name}"]
        )
    return 0


def status(here: Path, name: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Say how each database stands: its migrations, its size, its newest backup; exits 1 where something is wrong."""
    place, project, environment = _opened(here, name)
    with place.ledger() as ledger:
        ports = place.ports(environment.name, ledger)
        found = {one.name: _status(ports, project, environment, one) for one in _with_database(environment, services)}
    if as_json:
        print(hide(json.dumps(found, indent=2)))
    else:
        _print(view.status(found))
    return 1 if any(one["faults"] for one in found.values()) else 0


def _status(ports: Ports, project: Project, environment: Environment, service: Service) -> dict[str, Any]:
    known = [one for one in ports.vault.list(environment.name, service.name) if one.verified]
    age = view.age(known[0].at) if known else None
    told: dict[str, Any] = {"faults": [], "backup": known[0].name if known else None, "backup_age": age}
    if environment.rpo is not None and (age is None or age > environment.rpo):
        newest = "there is no good backup" if age is None else f"the newest good backup is {view.span(age)} old"
        told["faults"].append(f"{newest}; rpo is {view.span(environment.rpo)}")
    try:
        database = ports.database(service)
        contents, applied = database.contents(), database.applied()
        told |= {"engine": database.engine, "version": database.version(), "size": contents.size, "rows": contents.rows}
        told |= {"owner": database.owner(), "applied": [dump(one) for one in applied]}
        request = Request(Kind.MIGRATE, (service.name,))
        planned = asyncio.run(propose(ports, project.name, environment, request))
        data = next((part.data for part in planned.services if part.name == service.name), None)
        told |= {"pending": list(data.up) if data else [], "risks": list(data.risks) if data else []}
    except AbreastError as error:
        told["faults"].append(str(error))
    return told


def migrate(here: Path, name: str | None, services: tuple[str, ...], *, yes: bool, as_json: bool) -> int:
    """Bring databases up to date with the commit, after a backup and a rehearsal, without a deployment."""
    return _carry_out(here, name, Request(Kind.MIGRATE, services), yes=yes, as_json=as_json)[0]


def rehearse(here: Path, name: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Run what is pending on a restored copy only."""
    return _carry_out(here, name, Request(Kind.REHEARSE, services), yes=True, as_json=as_json)[0]


def drill(here: Path, name: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Do the disaster on a copy, now, or whenever the schedule says so."""
    request = Request(Kind.DRILL, services)
    if not scheduled:
        return _carry_out(here, name, request, yes=True, as_json=as_json)[0]
    _, project, _ = _opened(here, name)

    def do() -> None:
        code, turned_back = _carry_out(here, name, request, yes=True, as_json=as_json)
        if turned_back:
            raise KeyboardInterrupt  # whoever ends a drill of a schedule ends the schedule
        if code:
            raise DatabaseError("the drill failed", next="abreast show")

    return _on_schedule(project.backups.drill, "drill", project.backups.alert, do)


def restore(
    here: Path, which: str, name: str | None, services: tuple[str, ...], reason: str, *, yes: bool, as_json: bool
) -> int:
    """Put a backup in a database's place, after saying what would be lost."""
    place, project, environment = _opened(here, name)
    meant = [one.name for one in _with_database(environment, services)]
    if len(meant) > 1:
        raise UsageError(f"which database? {', '.join(meant)}", need="--service with one of them")
    request = Request(Kind.RESTORE, tuple(meant), reason=reason, backup=which)
    with place.ledger() as ledger:
        desk = CommandDesk(place, environment.name, ledger, as_json=as_json)
        desk.ask_loss(asyncio.run(propose(desk.ports(), project.name, environment, request)), yes=yes)
        return desk.run(lambda on: session.deploy(on, project.name, environment, request))


def _carry_out(here: Path, name: str | None, request: Request, *, yes: bool, as_json: bool) -> tuple[int, bool]:
    """Carry it out, and return the exit code, and whether an interrupt turned it back."""
    place, project, environment = _opened(here, name)
    _with_database(environment, request.services)
    with place.ledger() as ledger:
        desk = CommandDesk(place, environment.name, ledger, as_json=as_json)
        desk.ask(asyncio.run(propose(desk.ports(), project.name, environment, request)), yes=yes)
        return desk.run(lambda on: session.deploy(on, project.name, environment, request)), desk.turned_back


def _opened(here: Path, name: str | None) -> tuple[Place, Project, Environment]:
    place = Place.at(here, os.environ)
    project = place.project()
    environment = project.environment(choose_environment(project.environments, name))
    know(place.secrets(environment))
    return place, project, environment


def _with_database(environment: Environment, services: Sequence[str]) -> list[Service]:
    known = [one for one in environment.services if one.database]
    names = [one.name for one in known]
    for name in services:
        if name not in names:
            raise UsageError(f"{name} has no database", need=f"one of: {', '.join(names) or 'none has one'}")
    if not known:
        raise UsageError("no service has a database", need="`database: {url: …}` at a service in abreast.yml")
    return [one for one in known if not services or one.name in services]


# ── schedules ──────────────────────────────────────────────────────────────────────────────────


def _on_schedule(cron: str | None, key: str, alert: str | None, do: Callable[[], object]) -> int:
    """Do it whenever the schedule says so, until Ctrl-C; a failure is told, and the alert is run."""
    if cron is None:
        raise UsageError(f"there is no schedule: backups: {key} in abreast.yml", need="one such as 0 3 * * *")
    while True:
        _wait_until(next(_times(cron)))
        try:
            do()
        except Exception as error:  # noqa: BLE001 (whatever one time brings, the next one comes)
            why = hide(str(error) if isinstance(error, AbreastError) else f"{type(error).__name__}: {error}")
            print(f"abreast: {why}", file=sys.stderr, flush=True)
            if alert:
                _alert(alert, why)


def _times(cron: str) -> Iterator[datetime]:
    return CronSim(cron, datetime.now().astimezone())


def _wait_until(moment: datetime) -> None:
    print(f"next at {moment:%Y-%m-%d %H:%M:%S}", file=sys.stderr, flush=True)
    while (left := (moment - datetime.now().astimezone()).total_seconds()) > 0:
        time.sleep(min(left, 30))  # a clock that is set is followed


def _alert(command: str, why: str) -> None:
    done = subprocess.run(["/bin/sh", "-c", command], env={**os.environ, "ABREAST_ALERT": why}, check=False)
    if done.returncode:
        print(hide(f"abreast: the alert ended with {done.returncode}: {command}"), file=sys.stderr, flush=True)


def _print(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        print(hide(line), flush=True)
