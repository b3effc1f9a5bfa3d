"""Commits as people are shown them."""

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its full id, the first line of its message, and the name of its author."""

    id: str
    subject: str
    author: str


@dataclass(frozen=True, slots=True)
class CommitRange:
    """The commits from one to another: how many, and the newest of them. ``count`` is None if this clone lacks some."""

    count: int | None = 0
    newest: tuple[Commit, ...] = ()

    @property
    def certain(self) -> tuple[Commit, ...]:
        """Those that belong to it for certain: only the last one, if this clone lacks some."""
        return self.newest if self.count is not None else self.newest[:1]
