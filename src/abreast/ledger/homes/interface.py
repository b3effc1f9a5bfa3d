"""The port of a ledger's home: where entries are kept for everybody who may deploy the project."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from abreast.core.errors import StateError
from abreast.ledger.hash_chain import Link


class HomeAwayError(StateError):
    """The home gave no usable answer. Nothing is lost: what is recorded here goes there later."""


class Home(ABC):
    """Keeps one chain of entries. Of several that append at once, one succeeds, and the others read and try again.

    Every call raises HomeAwayError if there is no usable answer, StateError if the right to read or write is missing.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """Where it is, in words, without a password."""

    @abstractmethod
    def stream(self, after: int) -> Iterator[Link]:
        """Yield the links with a number above ``after``, in order, few in memory at a time. They are not checked."""

    def read(self, after: int) -> Sequence[Link]:
        """Return the links with a number above ``after``, in order. They are not checked."""
        return list(self.stream(after))

    @abstractmethod
    def append(self, last: Link | None, links: Sequence[Link]) -> bool:
        """Append links whole, if the chain ends with ``last``; return False, and change nothing, if it does not.

        Returns True too if exactly these links are there already, since an answer can be lost.
        """

    @abstractmethod
    def beat(self, environment: str) -> None:
        """Show that the holder of an environment's lease is alive: ``last_beat`` returns something else afterwards."""

    @abstractmethod
    def last_beat(self, environment: str) -> str:
        """Return what changes as long as the holder of the lease beats, "" if it never did."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""
