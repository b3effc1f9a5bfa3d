"""What all SQL engines share: abreast's tables, the migration lock, and retries of migration steps."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import AppliedMigration, ForeignHistory, Migration, MigrationStep
from abreast.core.schema.sql_checks import transaction_end_fault
from abreast.database.interface import Database, MigrationLimits, MigrationRun, Reporter
from abreast.database.metadata_tables import Dialect, MetadataTables

MigrationRecorder = Callable[[MetadataTables, Migration], None]
"""Records a finished step, in the step's own transaction."""


class SqlDatabase(Database):
    """Base of the engines, which open connections and run migration steps."""

    wait_timeout = 10.0
    """Seconds to wait for a connection, for a locked database, and for another migration."""

    dialect: Dialect

    def __init__(self, migrations_table: str) -> None:
        self._migrations_table = migrations_table

    def _metadata(self, db: Any) -> MetadataTables:  # noqa: ANN401 (a connection of either library)
        return MetadataTables(db, self.dialect, self._migrations_table)

    @abstractmethod
    def _connect(self) -> AbstractContextManager[Any]:
        """Open a read connection for the block."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Any]:
        """Open a connection with a write transaction for the block."""

    @abstractmethod
    def _lock_acquirer(self) -> AbstractContextManager[Callable[[], bool]]:
        """Yield a function that tries to take the migration lock; the lock is released after the block."""

    @abstractmethod
    def _run_step(
        self, migration: Migration, step: MigrationStep, record: MigrationRecorder, limits: MigrationLimits
    ) -> tuple[str, ...]:
        """Run a step and record it; return the locks that it held."""

    @abstractmethod
    def _is_lock_timeout(self, error: DatabaseError) -> bool:
        """Return whether a step failed because it could not get a lock."""

    @contextmanager
    def _metadata_reader(self) -> Iterator[MetadataTables]:
        with self._connect() as db:
            yield self._metadata(db)

    @contextmanager
    def _metadata_writer(self) -> Iterator[MetadataTables]:
        with self._transaction() as db:
            yield self._metadata(db)

    def owner(self) -> str:
        """Return the owner recorded by ``claim``, "" if there is none."""
        with self._metadata_reader() as metadata:
            return metadata.ownership()[0]

    def restored_by(self) -> str:
        """Return the deployment that restored this database, as recorded by ``claim``, "" if there is none."""
        with self._metadata_reader() as metadata:
            return metadata.ownership()[1]

    def claim(self, owner: str, restored_by: str = "") -> None:
        """Record in the database its owner, and the deployment that restores it."""
        with self._metadata_writer() as metadata:
            metadata.claim(owner, restored_by)

    def applied_migrations(self) -> Sequence[AppliedMigration]:
        """Return the applied migrations in order; raises DatabaseError if one was interrupted in an unknown state."""
        with self._metadata_reader() as metadata:
            return metadata.applied_migrations()

    def has_migrations_table(self) -> bool:
        """Return whether abreast's table of migrations exists; raises DatabaseError if it is another tool's."""
        with self._metadata_reader() as metadata:
            return metadata.exist()

    def foreign_history(self) -> ForeignHistory | None:
        """Return the history that another migration tool keeps in this database, None if there is none."""
        with self._metadata_reader() as metadata:
            return metadata.foreign_history()

    def record_as_applied(self, migrations: Sequence[Migration]) -> None:
        """Record migrations as applied without running them, in one transaction."""
        with self._metadata_writer() as metadata:
            metadata.prepare(migrations)
            for migration in migrations:
                metadata.record_applied(migration)

    def prepare_migration_table(self, migrations: Sequence[Migration]) -> None:
        """Create the migrations table, or adopt an existing one; raises DatabaseError if its columns do not fit."""
        with self._metadata_writer() as metadata:
            metadata.prepare(migrations)

    @contextmanager
    def migration_lock(self) -> Iterator[None]:
        """Hold the migration lock for the block; raises DatabaseError if another process keeps it."""
        with self._lock_acquirer() as try_acquire:
            deadline = time.monotonic() + self.wait_timeout
            while not try_acquire():
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        "another migration of this database is running", next="wait until it ends, then try again"
                    )
                time.sleep(0.05)
            yield

    def apply_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``up`` and record it, atomically."""
        return self._run_with_retries(migration, migration.up, MetadataTables.record_applied, limits, report)

    def revert_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``down`` and delete its record, atomically."""
        assert migration.down is not None
        return self._run_with_retries(migration, migration.down, MetadataTables.record_reverted, limits, report)

    def _run_with_retries(
        self,
        migration: Migration,
        step: MigrationStep,
        record: MigrationRecorder,
        limits: MigrationLimits,
        report: Reporter,
    ) -> MigrationRun:
        if fault := transaction_end_fault(step, self.engine):
            raise DatabaseError(f"{migration.name}:{fault}")
        started = time.monotonic()
        for attempt in range(1, limits.max_attempts + 1):
            try:
                locks = self._run_step(migration, step, record, limits)
                return MigrationRun(migration.name, time.monotonic() - started, locks)
            except DatabaseError as error:
                if not self._is_lock_timeout(error) or attempt == limits.max_attempts or not step.in_transaction:
                    raise
                report(
                    f"{migration.name}: no lock after {limits.lock_timeout:g} s; "
                    f"retrying, attempt {attempt + 1} of {limits.max_attempts}"
                )
                time.sleep(min(0.1 * 2**attempt, 5.0))
        raise AssertionError("the last attempt returns or raises")
