"""Backups: take them, verify each by a restore into a copy, prune old ones."""

import asyncio
from pathlib import Path

from abreast.core import backups
from abreast.core.backups import Backup
from abreast.core.errors import AbreastError, DatabaseError
from abreast.core.events import EventKind
from abreast.core.model import Chapter, LiveService, ServicePlan
from abreast.database.interface import Database, DatabaseCopy, DatabaseStats, Reporter
from abreast.deploy.data.plan import check_owner, owner_name
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run

VERIFIED_COPY = "verified"
REHEARSAL_COPY = "rehearsal"
RESTORED_COPY = "restored"
DRILL_COPY = "drill"


async def back_up_and_verify(run: Run, part: ServicePlan, *, before_restore: bool = False) -> Backup:
    """Return a verified backup. The copy that it was restored into stays for the rehearsal."""
    live = run.ports.ledger.live_services(run.plan.environment).get(part.name)
    database = run.ports.open_database(part.service)
    owner = owner_name(run.plan.project, run.plan.environment, part.name)
    copy = database_copy(database, VERIFIED_COPY, run.plan.deployment)
    workdir = restore_workdir(run.ports, run.plan.deployment)
    saved = await asyncio.to_thread(
        take_backup, run.ports, database, owner, live, copy, workdir, before_restore=before_restore
    )
    await record_note(
        run,
        part,
        Chapter.BACKUP,
        f"{saved.name}: {_megabytes(saved.size)}, {_megabytes(saved.stored)} sealed, verified",
    )
    return saved


def restore_workdir(ports: Ports, deployment: str) -> Path:
    """Return the folder for dumps that a deployment restores. It is deleted when the deployment ends."""
    return ports.folders.work / deployment / "restored"


def take_backup(
    ports: Ports,
    database: Database,
    owner: str,
    live: LiveService | None,
    copy: Database,
    workdir: Path,
    *,
    before_restore: bool = False,
) -> Backup:
    """Back a database up, and verify the backup by a restore into ``copy``. The dump passes through ``workdir``.

    Returns the verified backup. Raises DatabaseError.
    """
    check_owner(database, owner)
    project, environment, service = owner.split("/")
    _check_not_emptied(ports, database, owner, live)
    now, release = ports.now(), live.release if live else ""
    applied = tuple(migration.name for migration in database.applied_migrations())
    earlier = ports.vault.list_backups(environment, service)
    unverified = Backup(
        backups.backup_name(environment, service, now, release), project, environment, service, release, now,
        database.engine, database.engine_version(), migrations=applied, before_restore=before_restore,
        sequence=max((backup.sequence for backup in earlier), default=0) + 1,
    )  # fmt: skip
    saved, opener = ports.vault.save(unverified, database.dump, ports.backup_context())
    verify_backup(ports, saved, copy, workdir, opener)
    verified = saved.as_verified(ports.now())
    ports.vault.write_metadata(verified)
    return verified


def _check_not_emptied(ports: Ports, database: Database, owner: str, live: LiveService | None) -> None:
    """Raise DatabaseError if the database is empty but was not before: the URL is wrong, or its data is lost."""
    _, environment, service = owner.split("/")
    if database.estimate_row_counts():
        return
    nonempty = [
        backup
        for backup in ports.vault.list_backups(environment, service)
        if backup.is_trusted and any(backup.rows.values())
    ]
    if nonempty or (live and live.definition.database and live.definition.database.has_migrations):
        before = f"its last backup ({nonempty[0].at}) was not" if nonempty else "its live release has migrated it"
        raise DatabaseError(
            f"the database of {service} is empty, but {before}",
            need="the URL of the database that the service uses",
            next=f"abreast db restore --env {environment} --service {service}" if nonempty else "abreast db status",
        )


def verify_backup(ports: Ports, backup: Backup, copy: Database, workdir: Path, opener: object = None) -> DatabaseStats:
    """Restore a backup into ``copy`` and compare its row counts. The dump passes through ``workdir``.

    Returns the statistics of the copy. Raises DatabaseError.
    """
    dump = workdir / f"{backup.environment}.{backup.service}"  # overwrites what a killed process left
    workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        ports.vault.fetch(backup, dump, opener)
        copy.restore(dump)
    finally:
        dump.unlink(missing_ok=True)
    stats = copy.check_integrity()
    if stats.rows != backup.rows:
        tables = backup.rows.keys() | stats.rows.keys()
        first = min(name for name in tables if stats.rows.get(name) != backup.rows.get(name))
        raise DatabaseError(
            f"the backup {backup.name} is incomplete: restored, {first} has {stats.rows.get(first, 'no')} rows",
            need=f"{backup.rows.get(first, 'no')} rows, as counted during the backup",
            next="abreast db backup",
        )
    return stats


def database_copy(database: Database, name: str, deployment: str) -> Database:
    """Return the deployment's copy of a database, which may not exist yet. A RESTORED_COPY can replace the original."""
    return database.sibling_copy(f"{name}-{deployment.lower()}", swappable=name == RESTORED_COPY)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


async def clean_up_databases(run: Run) -> None:
    """Drop leftover copies and prune backups. An error is only recorded."""
    for part in run.plan.database_changes:
        try:
            await asyncio.to_thread(_clean_up_database, run, part)
        except AbreastError as error:
            await run.record(
                f"{part.name}/copies", EventKind.NOTE, str(error), service=part.name, chapter=Chapter.SETTLE
            )


def _clean_up_database(run: Run, part: ServicePlan) -> None:
    database = run.ports.open_database(part.service)
    for name in (VERIFIED_COPY, REHEARSAL_COPY, RESTORED_COPY, DRILL_COPY):
        database_copy(database, name, run.plan.deployment).drop()
    prune_backups(run.ports, run.plan.environment, part.name)


def unneeded_copies(ports: Ports, database: Database) -> list[DatabaseCopy]:
    """Return the copies of a database that a deployment of this ledger made and left, such as when it was killed.

    What a restore replaced is not among them, nor is a copy that this ledger does not know.
    """
    ended = {
        deployment.id.lower() for deployment in ports.ledger.deployments(limit=100_000) if deployment.state.is_final
    }
    return [copy for copy in database.list_copies() if not copy.is_archive and copy.owner in ended]


def prune_backups(ports: Ports, environment: str, service: str) -> int:
    """Delete old backups that no live or recent release needs. Returns their number."""
    live: dict[str, LiveService] = dict(ports.ledger.live_services(environment))
    recent = [deployment.release for deployment in ports.ledger.deployments(environment, 20)]
    needed = {*recent[:5], *(part.release for part in live.values())}
    return ports.vault.prune(environment, service, needed, ports.now())


def threadsafe_reporter(run: Run, part: ServicePlan, chapter: Chapter) -> Reporter:
    """Return a function that other threads may call to record a note about a service's database."""
    loop = asyncio.get_running_loop()

    def report(text: str) -> None:
        asyncio.run_coroutine_threadsafe(record_note(run, part, chapter, text), loop).result()

    return report


async def record_note(run: Run, part: ServicePlan, chapter: Chapter, message: str) -> None:
    """Record a note about a service's database."""
    await run.record(
        f"{part.name}/{chapter}/note/{message}", EventKind.NOTE, message, service=part.name, chapter=chapter
    )
