"""Whether a commit may still go live: not if a newer one is, and not if it was rolled back."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import DeploymentKind


class CommitOrder(StrEnum):
    """How a commit relates to another one. ``APART``: neither is an ancestor of the other."""

    SAME = "same"
    NEWER = "newer"
    OLDER = "older"
    APART = "apart"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """A deployment that succeeded and put a release live: ``kind`` is DEPLOY or ROLLBACK.

    ``unlocked``: the releases that a rollback took out, and a person let in again. ``at`` is ISO 8601.
    """

    kind: DeploymentKind
    release: str
    commit: str
    author: str = ""
    reason: str = ""
    deployment: str = ""
    at: str = ""
    unlocked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Overtaking:
    """A decision that came first, and so overtakes a commit. ``order`` is the commit's, seen from ``against``."""

    decision: Decision
    against: Decision
    order: CommitOrder


def find_overtaking(decisions: Iterable[Decision], compare: Callable[[str], CommitOrder]) -> Overtaking | None:
    """Return the decision that overtakes a commit, None if it may go live.

    ``decisions`` are those on the same services in one environment, newest first. ``compare`` returns the order of the
    commit, seen from another one. A rollback turns away the commits that were live since the release that it led back
    to, and what is older than they are, unless they were unlocked. What is older than the live commit is overtaken too.
    An unknown order counts as overtaken.
    """
    newest_first = iter(decisions)
    current = next(newest_first, None)
    if current is None:
        return None
    if current.kind is DeploymentKind.ROLLBACK:
        for rejected in rolled_back(current, newest_first):
            if rejected.release in current.unlocked:
                continue
            order = compare(rejected.commit)
            if order is CommitOrder.NEWER:
                return None
            if order in {CommitOrder.SAME, CommitOrder.OLDER, CommitOrder.UNKNOWN}:
                return Overtaking(current, rejected, order)
    order = compare(current.commit)
    return Overtaking(current, current, order) if order in {CommitOrder.OLDER, CommitOrder.UNKNOWN} else None


def rolled_back(rollback: Decision, earlier: Iterable[Decision]) -> Iterator[Decision]:
    """Yield the deployments that a rollback turned away. ``earlier`` are those before it; all are newest first."""
    for decision in earlier:
        if decision.release == rollback.release:
            return
        if decision.kind is DeploymentKind.DEPLOY:
            yield decision
