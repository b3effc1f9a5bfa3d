"""The ports of a database (a live one or a copy without users) and of the backup store."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from abreast.core.backups import Backup
from abreast.core.model import Service
from abreast.core.schema.migration_files import AppliedMigration, ForeignHistory, Migration
from abreast.core.schema.tables import Tables

if TYPE_CHECKING:  # slow, and often not needed
    from abreast.database.change_archive import ChangeArchive
    from abreast.database.change_stream import ChangeStream

Reporter = Callable[[str], None]
"""Receives progress lines."""


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """Rows by table, and the size of the database in bytes."""

    rows: Mapping[str, int] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class MigrationLimits:
    """Timeouts in seconds of one statement and of one wait for a lock; ``max_attempts`` limits the retries."""

    statement_timeout: float = 900.0
    lock_timeout: float = 2.0
    max_attempts: int = 10


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """One migration that ran: its duration in seconds, and the locks it held, as far as the engine reports them."""

    name: str
    seconds: float
    locks: tuple[str, ...] = ()


COPY_NAME = re.compile(r"(?:(?P<kind>[a-z]+)-(?P<owner>[0-9a-z]+)|before_(?P<archived>[0-9a-z]+))")
"""The name of a copy: its kind and the deployment (or ``backup``) that made it; or what a restore replaced."""


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """A copy beside a database. ``owner``: the deployment that made it, in lower case, or ``backup``.

    ``is_archive``: it is what a restore replaced, kept for a person.
    """

    name: str
    owner: str
    size: int
    is_archive: bool = False

    @classmethod
    def from_name(cls, name: str, size: int) -> "DatabaseCopy | None":
        """Return the copy called ``name``, None if no copy is called so."""
        found = COPY_NAME.fullmatch(name)
        if found is None:
            return None
        return cls(name, found["owner"] or found["archived"], size, is_archive=found["archived"] is not None)


class LockWatch(Protocol):
    """Whether a session of another program was cancelled, because it waited for a lock for too long."""

    has_cancelled: bool


@dataclass
class NoLockWatch:
    """The watch of an engine whose sessions cannot be seen."""

    has_cancelled: bool = False


class DatabaseServers:
    """The servers that abreast runs itself for databases of an environment on this machine. These are none."""

    def make(self, services: Sequence[Service]) -> None:
        """Make and start what the databases of some services need. What is there stays. Raises DatabaseError."""

    def start(self, services: Sequence[Service]) -> None:
        """Start what was made before. Raises DatabaseError."""

    def check(self, services: Sequence[Service]) -> None:
        """Raise DatabaseError if ``make`` could not succeed, as far as that can be told before. Changes nothing."""

    def note(self, services: Sequence[Service]) -> str:  # noqa: ARG002 (there is none)
        """Return what ``make`` would begin with, "" if all of it is there."""
        return ""


class BackupStore(ABC):
    """Encrypted backups with their metadata; raises DatabaseError if the store cannot be used."""

    @abstractmethod
    def save(
        self, backup: Backup, write: Callable[[IO[bytes]], DatabaseStats], context: Mapping[str, Any], plain: Path
    ) -> Backup:
        """Store what ``write`` writes as an unverified backup, with ``context`` encrypted beside it.

        It is written to the file ``plain`` too, for a test restore. Returns the backup with its sizes and digest.
        """

    @abstractmethod
    def check_stored(self, backup: Backup) -> None:
        """Raise DatabaseError unless the store returns the bytes that were encrypted. Needs no key."""

    @abstractmethod
    def write_metadata(self, backup: Backup) -> None:
        """Replace a backup's metadata."""

    @abstractmethod
    def fetch(self, backup: Backup, into: Path) -> Mapping[str, Any]:
        """Decrypt a backup's dump into a file, and return the context that was saved with it.

        Raises DatabaseError if the backup was changed, is incomplete, or cannot be opened with the available keys.
        """

    @abstractmethod
    def check_keys(self, backup: Backup) -> None:
        """Raise DatabaseError if the keys that belong here do not open a backup. Reads its encrypted metadata only."""

    @abstractmethod
    def list_backups(self, environment: str, service: str = "") -> Sequence[Backup]:
        """Return the backups of an environment, or of one of its services, newest first."""

    @abstractmethod
    def find_backup(self, environment: str, service: str, which: str = "") -> Backup:
        """Return a backup by name, last part of the name, release, or moment; by default the newest trusted one.

        A moment (ISO 8601, or ``latest``) is one of the continuous backup. Raises UsageError that says what there is.
        """

    @abstractmethod
    def change_archive(self, environment: str, service: str) -> "ChangeArchive":
        """Return the archive of a database's change stream, which may be empty."""

    @abstractmethod
    def prune(self, environment: str, service: str, needed: Collection[str], now: str) -> int:
        """Delete expired backups, except those of the releases in ``needed``; return the number deleted.

        Incomplete backups, left by a killed process, are deleted after a day.
        """


class Database(ABC):
    """A database; a method that raises DatabaseError leaves it unchanged, and may be interrupted at any point."""

    engine: str

    @abstractmethod
    def connection_url(self) -> str:
        """Return the URL for applications."""

    def connection_parts(self) -> Mapping[str, str]:
        """Return what the URL for applications says, by the names that Render has for it; the URL too."""
        return {"connectionString": self.connection_url()}

    @abstractmethod
    def engine_version(self) -> str:
        """Return the engine's version; raises DatabaseError if the database is unreachable or not a database."""

    @abstractmethod
    def stats(self) -> DatabaseStats:
        """Return rows and size; empty if the database does not exist yet."""

    @abstractmethod
    def estimate_row_counts(self) -> Mapping[str, int]:
        """Return an estimate of each table's rows, quickly."""

    @abstractmethod
    def tables(self) -> Tables:
        """Return the tables and views, except abreast's own."""

    @abstractmethod
    def owner(self) -> str:
        """Return the owner recorded by ``claim``, "" if there is none."""

    @abstractmethod
    def restored_by(self) -> str:
        """Return the deployment that restored this database, as recorded by ``claim``, "" if there is none."""

    @abstractmethod
    def claim(self, owner: str, restored_by: str = "") -> None:
        """Record in the database its owner, and the deployment that restores it."""

    @abstractmethod
    def dump(self, into: IO[bytes]) -> DatabaseStats:
        """Write a consistent dump while others write; return the rows and size at that moment."""

    @abstractmethod
    def restore(self, dump: Path) -> Sequence[str]:
        """Restore a dump into this database, a copy without users. Returns what did not come back as it was."""

    @abstractmethod
    def check_integrity(self) -> DatabaseStats:
        """Check the database's integrity and return its rows and size; raises DatabaseError if it is damaged."""

    @abstractmethod
    def sibling_copy(self, name: str, *, swappable: bool = False) -> "Database":
        """Return the copy called ``name``, which may not exist yet; a ``swappable`` one can replace this database."""

    @abstractmethod
    def list_copies(self) -> Sequence[DatabaseCopy]:
        """Return the copies of this database that exist, wherever they were made, by name."""

    @abstractmethod
    def drop_copy(self, copy: DatabaseCopy) -> None:
        """Delete a copy that ``list_copies`` returned."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether the database exists."""

    @abstractmethod
    def redirected_variables(self, variables: Mapping[str, str], copy: "Database") -> Mapping[str, str]:
        """Return those of ``variables`` that lead to this database in any spelling, leading to ``copy`` instead.

        Raises DatabaseError for one that leads here by a way that cannot lead to the copy.
        """

    @abstractmethod
    def variables_leading_here(self, variables: Mapping[str, str]) -> frozenset[str]:
        """Return the names of those of ``variables`` that lead to this database, in any spelling."""

    @abstractmethod
    def copy_from(self, other: "Database") -> None:
        """Recreate this copy from another copy without users."""

    @abstractmethod
    def recreate(self) -> None:
        """Create this copy anew, empty."""

    @abstractmethod
    def copy_properties(self, report: Reporter) -> None:
        """Give this copy the owner, the grants and the settings that its original has at the server.

        ``report`` receives what this role may not set.
        """

    @abstractmethod
    def drop(self) -> None:
        """Delete this copy, if it exists."""

    @abstractmethod
    def replace_with(self, copy: "Database", archive_name: str, report: Reporter) -> str:
        """Replace this database with a copy, atomically; return where the old one is kept, "" if there was none.

        ``report`` receives what could not be carried over besides the data, such as owner and grants.
        """

    @abstractmethod
    def change_stream(self, folder: Path, keep: float) -> "ChangeStream":
        """Return the stream of this database's changes, which writes to ``folder`` and keeps ``keep`` seconds."""

    @abstractmethod
    def recover(self, files: Path, moment: datetime | None, into: Path) -> None:
        """Write this database as it was at a moment (None: the latest) as a dump, which ``restore`` takes.

        Of a copy, it is the database that it is a copy of.

        ``files`` is a folder with the files of a change stream. It may be changed. No running database is needed or
        touched. Raises DatabaseError if the files are damaged or do not reach back to the moment.
        """

    @abstractmethod
    def applied_migrations(self) -> Sequence[AppliedMigration]:
        """Return the applied migrations in order; raises DatabaseError if one was interrupted in an unknown state."""

    @abstractmethod
    def has_migrations_table(self) -> bool:
        """Return whether abreast's table of migrations exists; raises DatabaseError if it is another tool's."""

    @abstractmethod
    def foreign_history(self) -> ForeignHistory | None:
        """Return the history that another migration tool keeps in this database, None if there is none."""

    @abstractmethod
    def record_as_applied(self, migrations: Sequence[Migration]) -> None:
        """Record migrations as applied without running them, in one transaction."""

    @abstractmethod
    def prepare_migration_table(self, migrations: Sequence[Migration]) -> None:
        """Create the migrations table, or adopt an existing one; raises DatabaseError if its columns do not fit.

        Applied ones of ``migrations`` get their checksum if they have none yet.
        """

    @abstractmethod
    def migration_lock(self) -> AbstractContextManager[None]:
        """Hold the migration lock for the block; raises DatabaseError if another process keeps it."""

    def lock_watch(self, limit: float, report: Reporter) -> AbstractContextManager[LockWatch]:  # noqa: ARG002
        """Watch the sessions of a migration tool that starts in the block, and cancel one that waits for a lock.

        After ``limit`` seconds; ``report`` receives who holds the lock. By default, nothing is watched.
        """
        return nullcontext(NoLockWatch())

    @abstractmethod
    def apply_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``up`` and record it, atomically; needs ``prepare_migration_table`` first."""

    @abstractmethod
    def revert_migration(self, migration: Migration, limits: MigrationLimits, report: Reporter) -> MigrationRun:
        """Run a migration's ``down`` and delete its record, atomically; needs ``prepare_migration_table`` first."""
