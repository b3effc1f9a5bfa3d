"""The risk of a deployment: each fact counts what the table of docs/risk.md says."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from abreast.core.model import Chapter
from abreast.core.plan import DeploymentKind
from abreast.core.risk import MigrationClass, RiskFacts, RiskLevel, ServiceRiskFacts, assess_risk
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.risk import broken_deployments
from abreast.ledger.interface import PastRollout

NOON = datetime(2026, 11, 25, 12, tzinfo=ZoneInfo("Europe/Berlin"))
"""A Wednesday."""

API = ServiceRiskFacts("api", frozenset({"api.py"}), deployed=10)
QUIET = RiskFacts([API], NOON)


def of(service: ServiceRiskFacts) -> RiskFacts:
    return replace(QUIET, services=[service])


def files(count: int) -> frozenset[str]:
    return frozenset(f"{number}.py" for number in range(count))


@pytest.mark.parametrize(
    ("facts", "points", "text"),
    [
        (QUIET, 0, ""),
        (of(replace(API, changed_files=files(20))), 0, ""),
        (of(replace(API, changed_files=files(21))), 1, "21 files changed"),
        (of(replace(API, changed_files=files(101))), 2, "101 files changed"),
        (replace(QUIET, services=[replace(API, changed_files=files(15)), replace(API, name="b", changed_files=files(15))]), 0, ""),
        (replace(QUIET, services=[API] * 3), 0, ""),
        (replace(QUIET, services=[API] * 4), 1, "4 services at once"),
        (of(replace(API, broke_before=("api.py",))), 2, "api: changes of api.py were turned back or rolled back before"),
        (of(replace(API, broke_before=tuple("abcde"))), 2, "api: changes of a, b, c and 2 more were turned back or rolled back before"),
        (of(replace(API, migration=MigrationClass.REVERSIBLE)), 1, "api: a migration that can be reversed"),
        (of(replace(API, migration=MigrationClass.COMMAND)), 2, "api: a command migrates, and nothing tells beforehand what it does"),
        (of(replace(API, migration=MigrationClass.IRREVERSIBLE)), 3, "api: a migration that cannot be reversed"),
        (of(replace(API, migration=MigrationClass.BREAKING)), 3, "api: a migration that breaks the running version"),
        (of(replace(API, failed=1)), 1, "api: 1 of its last 10 deployments failed"),
        (of(replace(API, failed=3)), 1, "api: 3 of its last 10 deployments failed"),
        (of(replace(API, failed=4)), 2, "api: 4 of its last 10 deployments failed"),
        (of(replace(API, is_first=True)), 1, "api: first deployment here, nothing to go back to"),
        (of(replace(API, no_way_back="the artifact is gone")), 2, "api: the artifact is gone"),
        (replace(QUIET, services=[replace(API, failed=1), replace(API, name="web", failed=5)]), 2,
         "api: 1 of its last 10 deployments failed; web: 5 of its last 10 deployments failed"),
        (replace(QUIET, is_emergency=True), 2, "an emergency: nobody is waited for, and less is checked"),
        (replace(QUIET, skipped=["test/api", "freeze"]), 2, "skipped: test/api, freeze"),
        (replace(QUIET, skipped=list("abcd")), 3, "skipped: a, b, c, d"),
        (replace(QUIET, moment=NOON.replace(day=27, hour=15, minute=59)), 0, ""),
        (replace(QUIET, moment=NOON.replace(day=27, hour=16)), 1, "before a weekend: Friday 16:00 CET"),
        (replace(QUIET, moment=NOON.replace(day=28)), 1, "on a weekend: Saturday 12:00 CET"),
        (replace(QUIET, moment=NOON.replace(hour=22)), 1, "at night: Wednesday 22:00 CET"),
        (replace(QUIET, moment=NOON.replace(hour=5, minute=59)), 1, "at night: Wednesday 05:59 CET"),
        (replace(QUIET, moment=NOON.replace(hour=6)), 0, ""),
    ],
    ids=lambda value: None if isinstance(value, RiskFacts) else str(value),
)  # fmt: skip
def test_each_fact_counts_and_says_why(facts: RiskFacts, points: int, text: str) -> None:
    risk = assess_risk(facts)
    assert risk.points == points
    assert [reason.text for reason in risk.reasons] == ([text] if text else [])


@pytest.mark.parametrize(
    ("skipped", "first", "level"),
    [(2, False, RiskLevel.LOW), (3, False, RiskLevel.MEDIUM), (2, True, RiskLevel.MEDIUM), (3, True, RiskLevel.HIGH)],
)
def test_points_add_up_to_a_level(skipped: int, first: bool, level: RiskLevel) -> None:
    service = replace(API, is_first=first, no_way_back="gone" if first else "")
    risk = assess_risk(replace(of(service), skipped=["x"] * skipped))
    assert (risk.points, risk.level) == (skipped + (3 if first else 0), level)


def past(id: str, release: str, state: DeploymentState, kind: DeploymentKind = DeploymentKind.DEPLOY) -> PastRollout:
    return PastRollout(id, kind, state, Chapter.SETTLE, release, "api", frozenset())


def test_what_failed_and_what_was_rolled_back_is_broken() -> None:
    done, back = DeploymentState.SUCCEEDED, DeploymentState.TURNED_BACK
    history = [
        past("fix", "v7", done),
        past("again", "v6", back),
        past("rollback", "v2", done, DeploymentKind.ROLLBACK),
        past("failed rollback", "v1", back, DeploymentKind.ROLLBACK),
        past("bad", "v5", done),
        past("worse", "v4", done),
        past("cancelled", "v3", DeploymentState.CANCELLED),
        replace(past("rejected", "v3", back), chapter=Chapter.APPROVAL),
        past("good", "v2", done),
        past("old", "v1", done),
        past("older rollback's", "v9", done),
    ]
    assert broken_deployments(history) == {"again", "failed rollback", "bad", "worse"}
    assert broken_deployments([past("stuck", "v1", DeploymentState.STUCK)]) == {"stuck"}
