"""Where a rollback leads, and what it keeps out."""

import pytest

from abreast.core.commit_order import Decision
from abreast.core.plan import DeploymentKind
from abreast.core.rollback import RollbackCause, RollbackTarget, choose_target, kept_out, read_cause


def deployed(number: int) -> Decision:
    return Decision(DeploymentKind.DEPLOY, f"v{number}", f"c{number}")


def back_to(number: int, *unlocked: str) -> Decision:
    return Decision(
        DeploymentKind.ROLLBACK, f"v{number}", f"c{number}", "ada", "slow", at="noon", unlocked=frozenset(unlocked)
    )


ONE, TWO, THREE, FOUR = map(deployed, (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("newest_first", "expected"),
    [
        ([], set()),
        ([TWO, ONE], set()),
        ([back_to(1), TWO, ONE], {"v2"}),
        ([back_to(1), THREE, TWO, ONE], {"v2", "v3"}),
        ([back_to(1, "v2"), THREE, TWO, ONE], {"v3"}),
        ([THREE, back_to(1), TWO, ONE], {"v2"}),
        ([TWO, back_to(1), TWO, ONE], set()),  # deployed in spite of it
        ([back_to(2), THREE, back_to(1), TWO, ONE], {"v3"}),  # a rollback that leads to it lets it in
        ([back_to(1), TWO, back_to(1, "v2"), TWO, ONE], {"v2"}),  # let in, and out again
        ([back_to(1, "v2"), TWO, back_to(1), TWO, ONE], set()),
    ],
)
def test_what_is_kept_out(newest_first: list[Decision], expected: set[str]) -> None:
    assert set(kept_out(newest_first)) == expected


def whole(version: str) -> str:
    return ""


def another(version: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("newest_first", "target"),
    [
        ([TWO, ONE], RollbackTarget("v1")),
        ([FOUR, back_to(2), THREE, TWO, ONE], RollbackTarget("v2")),
        ([FOUR, back_to(1), THREE, ONE], RollbackTarget("v1")),
        ([ONE], RollbackTarget("", (), "there is no release before v1")),
        ([], RollbackTarget("", (), "nothing was deployed there")),
        (
            [back_to(2), THREE, TWO, ONE],
            RollbackTarget("", (), "it was rolled back to v2 already, at noon by ada", further="v1"),
        ),
    ],
)
def test_where_a_rollback_leads(newest_first: list[Decision], target: RollbackTarget) -> None:
    assert choose_target(newest_first, whole, another) == target


def test_what_was_rolled_back_is_passed_over() -> None:
    target = choose_target([FOUR, THREE, back_to(1), TWO, ONE], whole, another)
    assert target == RollbackTarget("v3")
    target = choose_target([THREE, back_to(1), TWO, ONE], whole, another)
    assert target == RollbackTarget("v1")


def test_a_release_that_is_whole_is_preferred_to_a_newer_one() -> None:
    gone = {"v3": "v3 is gone", "v2": ""}
    target = choose_target([FOUR, THREE, TWO, ONE], lambda version: gone[version], another)
    assert target == RollbackTarget("v2", ("v3 is gone",))
    target = choose_target([FOUR, THREE, TWO], lambda version: f"{version} is gone", another)
    assert target == RollbackTarget("v3", ("v3 is gone", "v2 is gone"))


def test_what_is_live_by_another_number_is_passed_over() -> None:
    target = choose_target([FOUR, THREE, TWO, ONE], whole, lambda version: version != "v1")
    assert target == RollbackTarget("v1", ("v3 is the same as v4", "v2 is the same as v4"))
    target = choose_target([FOUR, THREE], whole, lambda _: True)
    assert target == RollbackTarget("", ("v3 is the same as v4",), "v3 is the same as v4")


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("critical bug: orders fail", RollbackCause.CRITICAL_BUG),
        ("Critical-Bug", RollbackCause.CRITICAL_BUG),
        ("service outage since noon", RollbackCause.SERVICE_OUTAGE),
        ("security_vulnerability: CVE", RollbackCause.SECURITY_VULNERABILITY),
        ("critical bugs everywhere", None),
        ("a critical bug", None),
        ("", None),
    ],
)
def test_the_cause_of_a_reason(reason: str, cause: RollbackCause | None) -> None:
    assert read_cause(reason) is cause
