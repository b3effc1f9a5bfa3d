"""What databases do alike, whatever their engine: notes, the lock of migrations, and steps that are tried again."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Applied, Migration, Step
from abreast.core.statements import own_transaction
from abreast.database.interface import Database, Limits, Ran, Tell
from abreast.database.notes import Dialect, Notes

Note = Callable[[Notes, Migration], None]
"""Notes that a step is done, in the step's own transaction."""


class Engine(Database):
    """An engine opens connections and runs steps; what is told of a migration is told here."""

    patience = 10.0
    """Seconds to wait for a connection, for whoever has the database locked, and for whoever migrates already."""

    dialect: Dialect

    @abstractmethod
    def _open(self) -> AbstractContextManager[Any]:
        """Open a connection for the block, to read."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Any]:
        """Open a connection for the block, in a transaction that writes."""

    @abstractmethod
    def _locking(self) -> AbstractContextManager[Callable[[], bool]]:
        """Yield what tries to take the lock of migrations; it is let go of at the end of the block."""

    @abstractmethod
    def _perform(self, migration: Migration, step: Step, note: Note, limits: Limits) -> tuple[str, ...]:
        """Run a step and note it; returns the locks that it held."""

    @abstractmethod
    def _waited(self, error: DatabaseError) -> bool:
        """Tell whether a step failed because of somebody's lock."""

    @contextmanager
    def _reading(self) -> Iterator[Notes]:
        with self._open() as db:
            yield Notes(db, self.dialect)

    @contextmanager
    def _writing(self) -> Iterator[Notes]:
        with self._transaction() as db:
            yield Notes(db, self.dialect)

    def owner(self) -> str:
        """Return whose it is, as ``claim`` noted it; "" where nobody did."""
        with self._reading() as notes:
            return notes.owner()[0]

    def restored(self) -> str:
        """Return the deployment that put this database in place, as ``claim`` noted it, "" where none did."""
        with self._reading() as notes:
            return notes.owner()[1]

    def claim(self, owner: str, restored: str = "") -> None:
        """Note whose it is, in the database itself, and which deployment will have put it in place."""
        with self._writing() as notes:
            notes.claim(owner, restored)

    def applied(self) -> Sequence[Applied]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""
        with self._reading() as notes:
            return notes.applied()

    def prepare(self, known: Sequence[Migration]) -> None:
        """Make the table of migrations, or adopt the one that is there; raises DatabaseError for another form."""
        with self._writing() as notes:
            notes.prepare(known)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of migrations for the block; raises DatabaseError where another has it."""
        with self._locking() as taken:
            until = time.monotonic() + self.patience
            while not taken():
                if time.monotonic() > until:
                    raise DatabaseError(
                        "another migration of this database is under way", next="wait for it, and try again"
                    )
                time.sleep(0.05)
            yield

    def run(self, migration: Migration, limits: Limits, tell: Tell) -> Ran:
        """Run a migration's ``up`` and note it, both or neither."""
        return self._step(migration, migration.up, Notes.ran, limits, tell)

    def take_back(self, migration: Migration, limits: Limits, tell: Tell) -> Ran:
        """Run a migration's ``down`` and forget it, both or neither."""
        assert migration.down is not None
        return self._step(migration, migration.down, Notes.forgotten, limits, tell)

    def _step(self, migration: Migration, step: Step, note: Note, limits: Limits, tell: Tell) -> Ran:
        if fault := own_transaction(step, self.engine):
            raise DatabaseError(f"{migration.name}:{fault}")
        began = time.monotonic()
        for attempt in range(1, limits.tries + 1):
            try:
                locks = self._perform(migration, step, note, limits)
                return Ran(migration.name, time.monotonic() - began, locks)
            except DatabaseError as error:
                if not self._waited(error) or attempt == limits.tries or not step.transaction:
                    raise
                tell(f"{migration.name}: waited {limits.lock:g} s for a lock; again, {attempt + 1} of {limits.tries}")
                time.sleep(min(0.1 * 2**attempt, 5.0))
        raise AssertionError("the last attempt returns or raises")
