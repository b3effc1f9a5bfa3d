"""What an approval request shows, in which order, and how it is shortened."""

import pytest

from abreast.core.approvals.request import (
    ApprovalRequest,
    GateOutcome,
    MigrationChange,
    ReleaseChanges,
    Section,
    ServiceChange,
    VariableChange,
    request_sections,
)
from abreast.core.approvals.rule import ApprovalRule
from abreast.core.commits import Commit, CommitRange
from abreast.core.risk import Risk, RiskLevel, RiskReason
from abreast.core.wording import rough_duration

RULE = ApprovalRule(2, ("ada", "grace", "linus"))
CHANGES = ReleaseChanges(
    CommitRange(3, (Commit("3f9c2ab" + "0" * 33, "Add a basket", "Eve"), Commit("1" * 40, "Fix it", "Linus"))),
    services=(ServiceChange("api", "render", "deploy", "app.py changed", "v6"), ServiceChange("web", "local", "deploy", "new", strategy="recreate")),
    migrations=(MigrationChange("api", ("apply 002_drop.sql",), ("002_drop.sql:1: drops a column",)),),
    gates=(GateOutcome("tests", "api", "passed", "12 tests"), GateOutcome("lint", "", "skipped", "eve: no time")),
    variables=(
        VariableChange("api", "REGION", "eu", "us"), VariableChange("api", "MODE", None, "fast"),
        VariableChange("api", "OLD", "1", None), VariableChange("api", "TOKEN", "", "", is_secret=True),
        VariableChange("api", "KEY", None, "", is_secret=True),
    ),
    duration=200.0,
    way_back=("abreast rollback --env production --to v6 --reason …", "api: the schema stays"),
    unknown=("api: whether TOKEN has another value",),
)  # fmt: skip
REQUEST = ApprovalRequest(
    "01M8", "production", "v7", RULE, "2026-11-28T04:12:07Z", CHANGES, barred=("linus",), approved=("ada",),
    risk=Risk(RiskLevel.MEDIUM, (RiskReason(3, "api: a migration that breaks the running version"),)),
)  # fmt: skip


def test_everything_has_its_section() -> None:
    assert {section.title: section.lines for section in request_sections(REQUEST)} == {
        "Approval": ("2 of ada, grace, until 2026-11-28T04:12:07Z", "not linus: 1 author of it",
                     "approved by ada; 1 more needed"),
        "Risk": ("medium (3 points)", "+3 api: a migration that breaks the running version"),
        "Commits": ("3 commits since what is live", "3f9c2ab Add a basket (Eve)", "1111111 Fix it (Linus)", "and 1 older"),
        "Services": ("api: deploy on render, v6 is live: app.py changed", "web: deploy on local, for the first time: new; strategy: recreate"),
        "Migrations": ("api: RISK: 002_drop.sql:1: drops a column", "api: apply 002_drop.sql"),
        "Gates": ("tests of api passed: 12 tests", "lint skipped: eve: no time"),
        "Variables": ("api: REGION = us (was eu)", "api: MODE = fast (new)", "api: OLD is removed",
                      "api: TOKEN (a secret) has another value", "api: KEY (a secret) is new"),
        "Not known": ("api: whether TOKEN has another value",),
        "Duration": ("about 3 min",),
        "Way back": ("abreast rollback --env production --to v6 --reason …", "api: the schema stays"),
    }  # fmt: skip


def test_what_there_is_nothing_of_is_left_out() -> None:
    bare = ApprovalRequest("01M8", "production", "v7", RULE, "2026-11-28T04:12:07Z")
    assert [section.title for section in request_sections(bare)] == ["Approval"]


@pytest.mark.parametrize(
    ("commits", "is_backward", "first"),
    [
        (CommitRange(None, (Commit("a" * 40, "x", "y"),)), False, "not all commits since what is live are in this clone; the newest:"),
        (CommitRange(1, (Commit("a" * 40, "x", "y"),)), False, "1 commit since what is live"),
        (CommitRange(2, (Commit("a" * 40, "x", "y"),)), True, "2 commits taken back"),
    ],
)  # fmt: skip
def test_commits_that_go_back_or_are_not_here(commits: CommitRange, is_backward: bool, first: str) -> None:
    request = ApprovalRequest("01M8", "p", "v7", RULE, "x", ReleaseChanges(commits, is_backward, CHANGES.services))
    assert request_sections(request)[1].lines[0] == first


def test_a_section_is_shortened_and_says_so() -> None:
    section = Section("Commits", ("a" * 50, "b\nc", "d"))
    assert section.shortened(2, 10).lines == ("a" * 9 + "…", "b c", "and 1 more")
    assert section.shortened(0, 10).lines == ("a" * 9 + "…", "and 2 more")
    assert section.shortened(3, 60) == Section("Commits", ("a" * 50, "b c", "d"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (161, "2 min 41 s"), (200, "3 min"), (3590, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_rough_durations(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text
