"""The port of a change stream: a program writes every change of a database to files, to recover any moment from."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple


class StreamedFile(NamedTuple):
    """A file of a change stream. ``state`` changes with its content: the same state, the same bytes.

    ``is_local``: it is in the stream's folder. One that is not was stored earlier, and is needed still.
    """

    state: str
    is_local: bool = True


class ChangeStream(ABC):
    """Writes every change of one database to files in a folder of its own, for as long as it runs.

    The files that it names at one moment are enough to recover each moment from ``keep`` seconds ago until then. A
    stream that is started again in the same folder goes on where it was, or begins anew with a full copy; earlier
    moments can still be recovered. One at which it did not run may be recovered as the last at which it did.
    """

    @abstractmethod
    def start(self) -> None:
        """Start the program. It ends with this process, however that ends.

        Raises DatabaseError if the program is missing, or the database or the role does not allow it.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise DatabaseError if the program has ended, or no longer follows the database. A stopped one is fine."""

    @abstractmethod
    def files(self, stored: Mapping[str, str]) -> Mapping[str, StreamedFile]:
        """Return the files that a recovery needs now, by path relative to the folder.

        ``stored`` are the paths and states that the store has. A file that is still written to is included: its
        beginning is valid. Changes that were made more than a few seconds ago are in the files.
        """

    @abstractmethod
    def earliest_moment(self, stored: Mapping[str, str]) -> datetime | None:
        """Return the earliest moment that can be recovered from the stored files; None while there is no full copy."""

    @abstractmethod
    def forget_local(self, stored: Collection[str]) -> None:
        """Delete files that are stored now, where the program no longer needs them here."""

    @abstractmethod
    def stop(self) -> None:
        """Write what is outstanding and stop. A stream that does not run is fine."""
