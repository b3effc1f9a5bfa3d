"""The port of a database: one that is live, or a copy of it that nobody uses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from abreast.core.backups import Backup
from abreast.core.schema.migration_files import AppliedMigration, Migration
from abreast.core.schema.tables import Tables

Reporter = Callable[[str], None]
"""Hears a line about how something gets on."""


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """What a database holds: rows by table, and the size of all in bytes."""

    rows: Mapping[str, int] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class MigrationLimits:
    """How long, in seconds, one statement may take, and how long it may wait for a lock before it is tried again.

    ``tries``: how often, at most.
    """

    statement_timeout: float = 900.0
    lock_timeout: float = 2.0
    max_attempts: int = 10


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """One migration that was run: how long it took, in seconds, and which locks it held, where that can be told."""

    name: str
    seconds: float
    locks: tuple[str, ...] = ()


class BackupStore(ABC):
    """Backups, sealed, each with what is known of it; raises DatabaseError where the store cannot be used."""

    @abstractmethod
    def save(
        self, backup: Backup, write: Callable[[IO[bytes]], DatabaseStats], context: Mapping[str, Any]
    ) -> tuple[Backup, object]:
        """Put a backup away, not yet verified; ``around`` is kept with it, sealed.

        Returns it, and what opens it in this process.
        """

    @abstractmethod
    def write_metadata(self, backup: Backup) -> None:
        """Put down what is known of a backup, in place of what was."""

    @abstractmethod
    def fetch(self, backup: Backup, into: Path, cipher: object = None) -> Mapping[str, Any]:
        """Put what was dumped into a file, and return what was kept with it.

        Raises DatabaseError where it was changed, is not whole, or cannot be opened with the keys that are here.
        """

    @abstractmethod
    def list_backups(self, environment: str, service: str = "") -> Sequence[Backup]:
        """Return the backups of an environment (and service), newest first."""

    @abstractmethod
    def find_backup(self, environment: str, service: str, which: str = "") -> Backup:
        """Return the backup that a person means: by name, by the end of it, by release, or the newest verified one.

        Raises UsageError that lists the last ones.
        """

    @abstractmethod
    def prune(self, environment: str, service: str, needed: Collection[str], now: str) -> int:
        """Take away what nobody needs any more; ``needed`` are releases. Returns how many backups went.

        What a killed process left, which is no backup, goes after a day.
        """


class Database(ABC):
    """Each verb leaves the database as it was where it raises DatabaseError, and may be cut off anywhere."""

    engine: str

    @abstractmethod
    def connection_url(self) -> str:
        """Return the URL by which an application reaches it."""

    @abstractmethod
    def engine_version(self) -> str:
        """Return the engine's version; raises DatabaseError where the database cannot be reached, or is none."""

    @abstractmethod
    def stats(self) -> DatabaseStats:
        """Return what it holds; nothing where it is not there yet."""

    @abstractmethod
    def estimate_row_counts(self) -> Mapping[str, int]:
        """Return about how many rows each table has; quickly."""

    @abstractmethod
    def tables(self) -> Tables:
        """Return what it looks like."""

    @abstractmethod
    def owner(self) -> str:
        """Return whose it is, as ``claim`` noted it; "" where nobody did."""

    @abstractmethod
    def restored_by(self) -> str:
        """Return the deployment that put this database in place, as ``claim`` noted it, "" where none did."""

    @abstractmethod
    def claim(self, owner: str, restored_by: str = "") -> None:
        """Note whose it is, in the database itself, and which deployment will have put it in place."""

    @abstractmethod
    def dump(self, into: IO[bytes]) -> DatabaseStats:
        """Write all of it, as it is at one moment, while others write; returns what it held at that moment."""

    @abstractmethod
    def restore(self, dump: Path) -> None:
        """Make this database, which is a copy that nobody uses, what was dumped."""

    @abstractmethod
    def check_integrity(self) -> DatabaseStats:
        """Look whether it is whole, and return what it holds."""

    @abstractmethod
    def sibling_copy(self, name: str, *, swappable: bool = False) -> "Database":
        """Return the copy of that name, be it there or not; ``here``: where it can take this one's place."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether it is there."""

    @abstractmethod
    def copy_from(self, other: "Database") -> None:
        """Make this copy anew from another one that nobody uses."""

    @abstractmethod
    def drop(self) -> None:
        """Take this copy away; fine where there is none."""

    @abstractmethod
    def replace_with(self, copy: "Database", archive_name: str, report: Reporter) -> str:
        """Put a copy in this database's place, in one step; returns where what was is kept, "" where it is not.

        ``tell`` hears what around the data could not be made as it was.
        """

    @abstractmethod
    def applied_migrations(self) -> Sequence[AppliedMigration]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""

    @abstractmethod
    def prepare_migration_table(self, migrations: Sequence[Migration]) -> None:
        """Make the table of migrations, or adopt the one that is there; raises DatabaseError for another form.

        What ran of ``known`` and has no checksum yet has it from now on.
        """

    @abstractmethod
    def migration_lock(self) -> AbstractContextManager[None]:
        """Hold the lock of migrations for the block; raises DatabaseError where another has it."""

    @abstractmethod
    def apply_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``up`` and note it, both or neither; the table of migrations is prepared."""

    @abstractmethod
    def revert_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``down`` and forget it, both or neither; the table of migrations is prepared."""
