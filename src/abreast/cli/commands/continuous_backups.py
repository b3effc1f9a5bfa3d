"""The continuous backup of databases, beside the scheduled ones."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from abreast.cli.commands.schedules import report_occurrence, report_recovery, stop_at_sigterm
from abreast.cli.target import Target
from abreast.core.errors import DatabaseError
from abreast.core.model import Service
from abreast.deploy.data.continuous import ContinuousBackup
from abreast.deploy.data.plan import owner_name
from abreast.notify.interface import OccurrenceKind
from abreast.wiring.workspace import utc_now

CHANGES_FOLDER = "changes"


@contextmanager
def continuous_backups(target: Target, services: Sequence[Service], keep: float) -> Iterator[None]:
    """Back the services' databases up continuously for the block. Failures are printed, and the alert is run.

    Raises DatabaseError if another command does so already.
    """
    stopped = threading.Event()
    with ExitStack() as stack:
        for service in services:
            stack.enter_context(_only_stream(target, service))
        running = [threading.Thread(target=_backup(target, service, keep).run, args=(stopped,)) for service in services]
        for thread in running:
            thread.start()
        print(
            f"recording every change of {', '.join(service.name for service in services)}", file=sys.stderr, flush=True
        )
        try:
            yield
        finally:
            stopped.set()
            for thread in running:
                thread.join()


def wait_until_stopped() -> int:
    """Wait for Ctrl-C or SIGTERM."""
    stop_at_sigterm()
    threading.Event().wait()
    return 0


def _backup(target: Target, service: Service, keep: float) -> ContinuousBackup:
    environment, topic = target.environment.name, f"continuous/{service.name}"
    return ContinuousBackup(
        service,
        owner_name(target.project.name, environment, service.name),
        target.assembly.open_database(environment, service),
        target.assembly.open_vault().change_archive(environment, service.name),
        target.workspace.state / CHANGES_FOLDER / environment / service.name,
        keep,
        utc_now,
        partial(report_occurrence, target, OccurrenceKind.BACKUP_FAILED, topic),
        partial(report_recovery, target, OccurrenceKind.BACKUP_RESUMED, topic),
    )


@contextmanager
def _only_stream(target: Target, service: Service) -> Iterator[None]:
    """Hold the lock of a database's continuous backup for the block. Raises DatabaseError if another one runs."""
    lock = target.workspace.machine_lock(f"{target.environment.name}.{service.name}.{CHANGES_FOLDER}")
    with lock.try_acquire({"since": utc_now()}) as free:
        if not free:
            raise DatabaseError(
                f"another command records the changes of {service.name}: process {lock.holder_pid()}",
                next=f"abreast db status --env {target.environment.name}",
            )
        yield
