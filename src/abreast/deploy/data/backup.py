"""Backups: take them, verify each by a restore into a copy, prune old ones."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from abreast.core import backups
from abreast.core.backups import LATEST, Backup
from abreast.core.errors import AbreastError, DatabaseError
from abreast.core.events import EventKind
from abreast.core.model import Chapter, LiveService
from abreast.core.plan import ServicePlan
from abreast.database.interface import Database, DatabaseCopy, DatabaseStats, Reporter
from abreast.deploy.data.plan import check_owner, owner_name
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run

VERIFIED_COPY = "verified"
REHEARSAL_COPY = "rehearsal"
RESTORED_COPY = "restored"
DRILL_COPY = "drill"


_WAY_OUT = "mend that; or migrate without: abreast deploy --skip-gate backup --reason …, if may_skip has backup"


async def back_up_and_verify(run: Run, part: ServicePlan, *, before_restore: bool = False) -> Backup:
    """Return a verified backup. The copy that it was restored into stays for the rehearsal.

    If a person accepts that, or before a restore, which keeps the old database, it may be unverified.
    """
    live = run.ports.ledger.live_services(run.plan.environment).get(part.name)
    database = run.ports.open_database(part.service)
    owner = owner_name(run.plan.project, run.plan.environment, part.name)
    copy = database_copy(database, VERIFIED_COPY, run.plan.deployment)
    workdir = restore_workdir(run.ports, run.plan.deployment)
    accepted = before_restore or bool(part.database_plan and part.database_plan.unverified)
    saved = await asyncio.to_thread(
        take_backup, run.ports, database, owner, live, copy, workdir, before_restore=before_restore,
        on_unverified=threadsafe_reporter(run, part, Chapter.BACKUP) if accepted else None,
    )  # fmt: skip
    verdict = "verified" if saved.verified else "NOT VERIFIED"
    gaps = f", except for {'; '.join(saved.gaps)}" if saved.gaps else ""
    sizes = f"{_megabytes(saved.size)}, {_megabytes(saved.stored)} sealed"
    await record_note(run, part, Chapter.BACKUP, f"{saved.name}: {sizes}, {verdict}{gaps}")
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
    on_unverified: Reporter | None = None,
) -> Backup:
    """Back a database up, and verify the backup by a restore into ``copy``. The dump passes through ``workdir``.

    Raises DatabaseError. With ``on_unverified``, a backup that cannot be restored is returned unverified, and that is
    called with the reason.
    """
    check_owner(database, owner)
    project, environment, service = owner.split("/")
    _check_not_emptied(ports, database, owner, live)
    now, release = ports.now(), live.release if live else ""
    applied = tuple(migration.name for migration in database.applied_migrations())
    earlier = ports.open_vault().list_backups(environment, service)
    unverified = Backup(
        backups.backup_name(environment, service, now, release), project, environment, service, release, now,
        database.engine, database.engine_version(), migrations=applied, before_restore=before_restore,
        sequence=backups.next_sequence(earlier),
    )  # fmt: skip
    with _dump_file(workdir, unverified) as plain:
        saved = ports.open_vault().save(unverified, database.dump, ports.backup_context(), plain)
        return _verified(ports, saved, copy, plain, on_unverified)


def _verified(ports: Ports, saved: Backup, copy: Database, plain: Path, on_unverified: Reporter | None) -> Backup:
    """Restore what was stored into ``copy``, while another thread reads the store. Return the verified backup."""
    try:
        with ThreadPoolExecutor(1) as executor:
            checking = executor.submit(ports.open_vault().check_stored, saved)
            restored = _restore_and_compare(saved, copy, plain)
            checking.result()
    except DatabaseError as error:
        if on_unverified is None:
            what = f"the backup {saved.name} cannot be restored: {error.what}"
            raise DatabaseError(what, need=error.need, next=_WAY_OUT) from error
        on_unverified(f"the backup cannot be restored: {error.what}")
        return saved
    verified = saved.as_verified(ports.now(), restored.gaps)
    ports.open_vault().write_metadata(verified)
    return verified


def _check_not_emptied(ports: Ports, database: Database, owner: str, live: LiveService | None) -> None:
    """Raise DatabaseError if the database is empty but was not before: the URL is wrong, or its data is lost."""
    _, environment, service = owner.split("/")
    if database.estimate_row_counts():
        return
    nonempty = [
        backup
        for backup in ports.open_vault().list_backups(environment, service)
        if backup.is_trusted and any(backup.rows.values())
    ]
    if nonempty or (live and live.definition.database and live.definition.database.has_migrations):
        before = f"its last backup ({nonempty[0].at}) was not" if nonempty else "its live release has migrated it"
        raise DatabaseError(
            f"the database of {service} is empty, but {before}",
            need="the URL of the database that the service uses",
            next=f"abreast db restore --env {environment} --service {service}" if nonempty else "abreast db status",
        )


class RestoredCopy(NamedTuple):
    """The rows and size of a restored copy, and what did not come back as it was."""

    stats: DatabaseStats
    gaps: Sequence[str]


def verify_backup(ports: Ports, backup: Backup, copy: Database, workdir: Path) -> RestoredCopy:
    """Restore a stored backup into ``copy`` and compare its row counts, if known. The dump passes through ``workdir``.

    Raises DatabaseError.
    """
    with _dump_file(workdir, backup) as dump:
        if backup.recorded:
            _recover_moment(ports, backup, copy, workdir / "changes", dump)
        else:
            ports.open_vault().fetch(backup, dump)
        return _restore_and_compare(backup, copy, dump)


@contextmanager
def _dump_file(workdir: Path, backup: Backup) -> Iterator[Path]:
    """Return a file for a dump, which is deleted after the block. It overwrites what a killed process left."""
    dump = workdir / f"{backup.environment}.{backup.service}"
    workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield dump
    finally:
        dump.unlink(missing_ok=True)


def _restore_and_compare(backup: Backup, copy: Database, dump: Path) -> RestoredCopy:
    gaps = copy.restore(dump)
    stats = copy.check_integrity()
    if not backup.recorded and stats.rows != backup.rows:
        tables = backup.rows.keys() | stats.rows.keys()
        first = min(name for name in tables if stats.rows.get(name) != backup.rows.get(name))
        raise DatabaseError(
            f"the backup {backup.name} is incomplete: restored, {first} has {stats.rows.get(first, 'no')} rows",
            need=f"{backup.rows.get(first, 'no')} rows, as counted during the backup",
            next="abreast db backup",
        )
    return RestoredCopy(stats, gaps)


def newest_recovery_point(ports: Ports, environment: str, service: str) -> Backup:
    """Return the newest state that can be restored: the end of the continuous backup, or the newest verified backup.

    Raises UsageError if there is neither.
    """
    if ports.open_vault().change_archive(environment, service).recoverable() is None:
        return ports.open_vault().find_backup(environment, service)
    recorded = ports.open_vault().find_backup(environment, service, LATEST)
    dumps = [backup for backup in ports.open_vault().list_backups(environment, service) if backup.is_trusted]
    return max((recorded, *dumps[:1]), key=lambda backup: datetime.fromisoformat(backup.at))


def _recover_moment(ports: Ports, moment: Backup, copy: Database, files: Path, dump: Path) -> None:
    archive = ports.open_vault().change_archive(moment.environment, moment.service)
    manifest = archive.recoverable()
    if manifest is None:
        raise DatabaseError(f"the continuous backup of {moment.service} is gone from the store", next="abreast db list")
    shutil.rmtree(files, ignore_errors=True)  # what a killed process left
    try:
        archive.fetch(manifest, files)
        copy.recover(files, datetime.fromisoformat(moment.at), dump)
    finally:
        shutil.rmtree(files, ignore_errors=True)


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
    return ports.open_vault().prune(environment, service, needed, ports.now())


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
