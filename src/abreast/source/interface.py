"""The port of the source: which commit, what changed, and a clean copy of it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path


class Source(ABC):
    """A repository, seen from the project's folder; paths are relative to that folder.

    Raises UsageError where the repository cannot give what is asked.
    """

    @abstractmethod
    def resolve_commit(self, ref: str = "HEAD") -> str:
        """Return the full id of the commit that ``ref`` names."""

    @abstractmethod
    def uncommitted_files(self) -> tuple[str, ...]:
        """Return the files that differ from HEAD or that git does not know and does not ignore."""

    @abstractmethod
    def changed_files(self, since: str, commit: str) -> Sequence[str] | None:
        """Return the files in which two commits differ, net; None when one of them is not to be had.

        A submodule that differs is named itself, and with the files in it that do.
        """

    @abstractmethod
    def changed_lines(self, since: str | None, commit: str) -> Mapping[str, frozenset[int]] | None:
        """Return by file the lines, from 1, that are new or other in ``commit``, all without ``since``.

        None as for ``changed``.
        """

    @abstractmethod
    def export_outgoing(self, since: Collection[str], commit: str, into: Path) -> None:
        """Put every version of a file that ``commit`` and those before it brought below ``into``/COMMIT/.

        But for those that ``since`` names or that came before them; where none of these is to be had, the commit's
        own files.
        """

    @abstractmethod
    def has_ancestor(self, commit: str, ancestor: str) -> bool:
        """Tell whether ``earlier`` is the commit, or one of those that it came from."""

    @abstractmethod
    def list_files(self, commit: str) -> Sequence[str]:
        """Return the project's files as committed."""

    @abstractmethod
    def content_ids(self, commit: str) -> Mapping[str, str]:
        """Return by file of the project an id of its content as committed."""

    @abstractmethod
    def read_files(self, commit: str, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the content of those of the project's files that the commit has."""

    @abstractmethod
    def find_mentions(self, commit: str, names: Collection[str], excluding: Collection[str] = ()) -> frozenset[str]:
        """Return which of the names stand in the commit's files as whole words; ``but`` names files not looked at."""

    @abstractmethod
    def checkout(self, commit: str, into: Path) -> None:
        """Put the project's files as committed into the new folder ``into``."""

    @abstractmethod
    def tag(self, name: str, commit: str, message: str) -> None:
        """Give the commit a tag; one that it has already stays. Raises UsageError where another commit has it."""

    @abstractmethod
    def author(self) -> str:
        """Return the name of the person at work here, "" if unknown."""
