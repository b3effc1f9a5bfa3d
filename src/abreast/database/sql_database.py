"""What databases do alike, whatever their engine: notes, the lock of migrations, and steps that are tried again."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import AppliedMigration, Migration, MigrationStep
from abreast.core.schema.sql_checks import transaction_end_fault
from abreast.database.interface import Database, MigrationLimits, MigrationRun, Reporter
from abreast.database.metadata_tables import Dialect, MetadataTables

MigrationRecorder = Callable[[MetadataTables, Migration], None]
"""Notes that a step is done, in the step's own transaction."""


class SqlDatabase(Database):
    """An engine opens connections and runs steps; what is told of a migration is told here."""

    wait_timeout = 10.0
    """Seconds to wait for a connection, for whoever has the database locked, and for whoever migrates already."""

    dialect: Dialect

    @abstractmethod
    def _connect(self) -> AbstractContextManager[Any]:
        """Open a connection for the block, to read."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Any]:
        """Open a connection for the block, in a transaction that writes."""

    @abstractmethod
    def _lock_acquirer(self) -> AbstractContextManager[Callable[[], bool]]:
        """Yield what tries to take the lock of migrations; it is let go of at the end of the block."""

    @abstractmethod
    def _run_step(
        self, migration: Migration, step: MigrationStep, record: MigrationRecorder, limits: MigrationLimits
    ) -> tuple[str, ...]:
        """Run a step and note it; returns the locks that it held."""

    @abstractmethod
    def _is_lock_timeout(self, error: DatabaseError) -> bool:
        """Tell whether a step failed because of somebody's lock."""

    @contextmanager
    def _metadata_reader(self) -> Iterator[MetadataTables]:
        with self._connect() as db:
            yield MetadataTables(db, self.dialect)

    @contextmanager
    def _metadata_writer(self) -> Iterator[MetadataTables]:
        with self._transaction() as db:
            yield MetadataTables(db, self.dialect)

    def owner(self) -> str:
        """Return whose it is, as ``claim`` noted it; "" where nobody did."""
        with self._metadata_reader() as metadata:
            return metadata.ownership()[0]

    def restored_by(self) -> str:
        """Return the deployment that put this database in place, as ``claim`` noted it, "" where none did."""
        with self._metadata_reader() as metadata:
            return metadata.ownership()[1]

    def claim(self, owner: str, restored_by: str = "") -> None:
        """Note whose it is, in the database itself, and which deployment will have put it in place."""
        with self._metadata_writer() as metadata:
            metadata.claim(owner, restored_by)

    def applied_migrations(self) -> Sequence[AppliedMigration]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""
        with self._metadata_reader() as metadata:
            return metadata.applied_migrations()

    def prepare_migration_table(self, migrations: Sequence[Migration]) -> None:
        """Make the table of migrations, or adopt the one that is there; raises DatabaseError for another form."""
        with self._metadata_writer() as metadata:
            metadata.prepare(migrations)

    @contextmanager
    def migration_lock(self) -> Iterator[None]:
        """Hold the lock of migrations for the block; raises DatabaseError where another has it."""
        with self._lock_acquirer() as try_acquire:
            deadline = time.monotonic() + self.wait_timeout
            while not try_acquire():
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        "another migration of this database is under way", next="wait for it, and try again"
                    )
                time.sleep(0.05)
            yield

    def apply_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``up`` and note it, both or neither."""
        return self._run_with_retries(migration, migration.up, MetadataTables.record_applied, limits, report)

    def revert_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``down`` and forget it, both or neither."""
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
                    f"{migration.name}: waited {limits.lock_timeout:g} s for a lock; "
                    f"attempt {attempt + 1} of {limits.max_attempts} follows"
                )
                time.sleep(min(0.1 * 2**attempt, 5.0))
        raise AssertionError("the last attempt returns or raises")
