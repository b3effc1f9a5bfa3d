"""The port of the source: commits, changed files and checkouts."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from abreast.core.commits import CommitRange


class Source(ABC):
    """A repository, seen from the project's folder; paths are relative to that folder.

    Raises UsageError if the repository does not have what is requested.
    """

    @abstractmethod
    def resolve_commit(self, ref: str = "HEAD") -> str:
        """Return the full id of the commit that ``ref`` names."""

    @abstractmethod
    def uncommitted_files(self) -> tuple[str, ...]:
        """Return the files that differ from HEAD or are untracked and not ignored."""

    @abstractmethod
    def changed_files(self, since: str, commit: str) -> Sequence[str] | None:
        """Return the files that differ between two commits, net; None if one of the commits is not available.

        A submodule that differs is listed itself, and so are the files in it that differ.
        """

    @abstractmethod
    def changed_lines(self, since: str | None, commit: str) -> Mapping[str, frozenset[int]] | None:
        """Return the added or changed line numbers (from 1) by file; all lines if ``since`` is None.

        None as for ``changed_files``.
        """

    @abstractmethod
    def export_outgoing(self, since: Collection[str], commit: str, into: Path) -> Iterator[Path]:
        """Write every content that the commits up to ``commit`` gave a file to ``into``/PORTION/COMMIT/FILE.

        Skips the commits in ``since`` and their ancestors; without them, the whole history counts. Submodules count
        with theirs. Yields the folder of one portion after the other; the next one replaces it. Raises UsageError if
        commits are missing, OSError if git fails.
        """

    @abstractmethod
    def has_ancestor(self, commit: str, ancestor: str) -> bool | None:
        """Return whether ``ancestor`` is ``commit`` or one of its ancestors, None if that cannot be found out.

        Commits that are not in this clone are fetched, and so is the history that a shallow clone lacks.
        """

    @abstractmethod
    def merge_base(self, one: str, other: str) -> str | None:
        """Return the newest commit that is an ancestor of both, None if there is none or it cannot be found out.

        Fetches as ``has_ancestor``.
        """

    @abstractmethod
    def list_files(self, commit: str) -> Sequence[str]:
        """Return the project's files at a commit."""

    @abstractmethod
    def content_ids(self, commit: str) -> Mapping[str, str]:
        """Return an id of the content of each of the project's files at a commit."""

    @abstractmethod
    def read_files(self, commit: str, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the content of the named files, without those that the commit does not have."""

    @abstractmethod
    def find_mentions(self, commit: str, names: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Return the commit's text files in which each of ``names`` occurs as a whole word."""

    @abstractmethod
    def checkout(self, commit: str, into: Path) -> None:
        """Check out the project's files at a commit into the new folder ``into``."""

    @abstractmethod
    def tag(self, name: str, commit: str, message: str) -> None:
        """Tag a commit; does nothing if it has the tag already. Raises UsageError if another commit has the tag."""

    @abstractmethod
    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message, "" if the commit is not here."""

    @abstractmethod
    def commits(self, since: Collection[str], commit: str, limit: int) -> CommitRange:
        """Return the commits up to ``commit`` without those in ``since`` and before, at most ``limit`` of them.

        With nothing in ``since``, those of the whole history. If this clone lacks a commit, or the way from one to the
        other, their number is unknown.
        """

    @abstractmethod
    def author(self) -> str:
        """Return the current user's name, "" if unknown."""

    @abstractmethod
    def commit_authors(self, since: Collection[str], commit: str) -> frozenset[str]:
        """Return who wrote the commits up to ``commit``, and that one, without those in ``since`` and before.

        Each by the names that people may know them by: the name, the address, its part before the @, and the login in
        one that GitHub made up. Commits in ``since`` that this clone lacks are left out.
        """
