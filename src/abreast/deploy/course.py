"""What a deployment would do with a service's database: decided from its files, and from what ran there."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from abreast.core import compatibility, migrations
from abreast.core.errors import RefusedError, UsageError
from abreast.core.events import What
from abreast.core.migrations import Migration
from abreast.core.model import Action, Breaking, DataPlan, Environment, Kind, ServicePlan
from abreast.core.statements import own_transaction
from abreast.database.interface import Database
from abreast.deploy.ports import Ports


def owner_of(project: str, environment: str, service: str) -> str:
    """Return what the database of a service is noted to be, in itself."""
    return f"{project}/{environment}/{service}"


def guard(database: Database, owner: str) -> None:
    """Raise RefusedError where the database is noted to be another environment's."""
    noted = database.owner()
    if noted and noted != owner:
        raise RefusedError(
            f"this database is that of {noted}, not of {owner}; nothing was touched",
            need="the URL of its own database",
            next="look at the variable that abreast.yml names",
        )


def folder(ports: Ports, commit: str, path: str) -> tuple[Migration, ...]:
    """Return the migrations of a commit; raises UsageError that lists what is wrong with them."""
    inside = [file for file in ports.source.files(commit) if str(PurePosixPath(file).parent) == path]
    if not inside:
        raise UsageError(f"there are no migrations in {path} at {commit[:7]}", need="files such as 001_name.sql")
    contents = ports.source.read(commit, inside)
    found, faults = migrations.read({PurePosixPath(name).name: content for name, content in contents.items()})
    if faults:
        raise UsageError("\n".join(f"{path}/{fault}" for fault in faults), need="each number once, none left out")
    return found


def data_plan(ports: Ports, project: str, environment: Environment, part: ServicePlan, kind: Kind) -> DataPlan | None:
    """Return what a deployment does with the database of one service, None where it leaves it alone.

    Raises UsageError for migrations that must not be run, DatabaseError where the database cannot be asked.
    """
    used = part.service.database
    if used is None or not used.migrates or part.action is not Action.DEPLOY:
        return None
    database = ports.database(part.service)
    guard(database, owner_of(project, environment.name, part.name))
    plan = DataPlan(environment.breaking)
    if used.command and kind is Kind.ROLLBACK:
        return _undone(ports, plan, part)
    if used.command:
        return replace(plan, command=True)
    assert used.migrations
    there = folder(ports, part.commit, used.migrations)
    applied = database.applied()
    beyond = migrations.beyond(there, applied)
    if beyond and kind is Kind.ROLLBACK:
        return _backwards(ports, plan, part, used.migrations, beyond)
    if beyond:
        raise UsageError(
            f"these ran in the database and are not in {used.migrations}: {', '.join(beyond)}",
            need="a commit that has them",
            next=f"abreast rollback --env {environment.name} --reason …",
        )
    course = migrations.course(there, applied)
    ways = migrations.one_way(course.pending) if environment.breaking is Breaking.BLOCK else ()
    if faults := (*course.faults, *ways, *_ending(course.pending, database.engine)):
        raise UsageError("\n".join(f"{used.migrations}/{fault}" for fault in faults), need="files that may be run")
    if not course.pending:
        return None
    return _forwards(plan, database, course.pending)


def _ending(pending: tuple[Migration, ...], engine: str) -> tuple[str, ...]:
    return tuple(f"{one.name}:{fault}" for one in pending if (fault := own_transaction(one.up, engine)))


def _undone(ports: Ports, plan: DataPlan, part: ServicePlan) -> DataPlan | None:
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
            plan, stays=f"`{used.command}` may have run for several releases since; one at a time can go back"
        )
    if not changed_schema(ports, live.deployment, part.name):
        return None
    if not used.down:
        return replace(plan, stays=f"`{used.command}` has no `down`")
    return replace(plan, command=True, since=live.commit)


def changed_schema(ports: Ports, deployment: str, service: str) -> bool:
    """Tell whether what a deployment ran on a service's database made a difference to it, as its rehearsal showed."""
    measured = (one for one in ports.ledger.events(deployment) if one.what is What.MEASURED and one.service == service)
    return any(one.data.get("schema") for one in measured)


def _forwards(plan: DataPlan, database: Database, pending: tuple[Migration, ...]) -> DataPlan:
    found = compatibility.risks(pending, database.engine, database.tables(), database.sizes())
    risks = () if plan.breaking is Breaking.ALLOW else tuple(map(str, found))
    return DataPlan(plan.breaking, up=tuple(one.name for one in pending), risks=risks)


def _backwards(ports: Ports, plan: DataPlan, part: ServicePlan, path: str, beyond: tuple[str, ...]) -> DataPlan:
    """Return what takes back what the live release brought, or why the schema stays."""
    since = part.previous.commit if part.previous else ""
    try:
        known = folder(ports, since, path) if since else ()
    except UsageError:
        known = ()
    down, stays = migrations.way_down(beyond, known)
    return DataPlan(plan.breaking, down=tuple(one.name for one in down), since=since, stays=stays)


def blocked(parts: Mapping[str, DataPlan]) -> None:
    """Raise RefusedError where the running version could not live with what is to be run, and that is not wanted."""
    found = [
        f"{service}: {risk}"
        for service, data in parts.items()
        if data.breaking is Breaking.BLOCK
        for risk in data.risks
    ]
    if found:
        raise RefusedError(
            "the running version could not live with these, or would stand still meanwhile:\n  " + "\n  ".join(found),
            need="expand first, contract in a later release: then say `-- contract: REASON` in that file",
            next="abreast plan",
        )
