"""Which decisions overtake a commit."""

import pytest

from abreast.core.commit_order import CommitOrder, Decision, find_overtaking
from abreast.core.plan import DeploymentKind


def deployed(release: str, commit: str) -> Decision:
    return Decision(DeploymentKind.DEPLOY, release, commit)


def rolled_back(release: str, commit: str) -> Decision:
    return Decision(DeploymentKind.ROLLBACK, release, commit)


def order(commit: str, other: str) -> CommitOrder:
    """Commits are numbers in one line, such as ``c3``; those that begin with another letter are apart; ``?`` is unknown."""
    if "?" in {commit[0], other[0]}:
        return CommitOrder.UNKNOWN
    if commit[0] != other[0]:
        return CommitOrder.APART
    difference = int(commit[1:]) - int(other[1:])
    return CommitOrder.SAME if not difference else CommitOrder.NEWER if difference > 0 else CommitOrder.OLDER


FIRST, SECOND, THIRD = deployed("v1", "c1"), deployed("v2", "c2"), deployed("v3", "c3")
BACK = rolled_back("v1", "c1")


@pytest.mark.parametrize(
    ("decisions", "commit", "overtaken_by"),
    [
        ([], "c1", None),
        ([FIRST], "c1", None),
        ([FIRST], "c2", None),
        ([SECOND, FIRST], "c1", ("v2", CommitOrder.OLDER)),
        ([SECOND, FIRST], "c2", None),
        ([SECOND, FIRST], "d9", None),
        ([SECOND, FIRST], "?", ("v2", CommitOrder.UNKNOWN)),
        ([BACK, SECOND, FIRST], "c2", ("v2", CommitOrder.SAME)),
        ([BACK, SECOND, FIRST], "c3", None),
        ([BACK, SECOND, FIRST], "c0", ("v2", CommitOrder.OLDER)),
        ([BACK, SECOND, FIRST], "d1", None),
        ([BACK, THIRD, SECOND, FIRST], "c2", ("v3", CommitOrder.OLDER)),
        ([BACK, THIRD, SECOND, FIRST], "c4", None),
        ([BACK, rolled_back("v2", "c2"), THIRD, SECOND, FIRST], "c3", ("v3", CommitOrder.SAME)),
        ([deployed("v4", "c4"), BACK, SECOND, FIRST], "c3", ("v4", CommitOrder.OLDER)),
        ([deployed("v4", "c4"), BACK, SECOND, FIRST], "c5", None),
        ([BACK, deployed("v2", "d7"), FIRST], "c0", ("v1", CommitOrder.OLDER)),
    ],
)  # fmt: skip
def test_overtaken(decisions: list[Decision], commit: str, overtaken_by: tuple[str, CommitOrder] | None) -> None:
    found = find_overtaking(decisions, lambda other: order(commit, other))
    assert (found and (found.against.release, found.order)) == overtaken_by
    assert found is None or found.decision is decisions[0]
