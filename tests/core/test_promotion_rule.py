"""Whether a release may be promoted, and what it still needs."""

from dataclasses import replace

import pytest

from abreast.core.promotion import PromotionRule, TriedRelease, promotion_refusals

RULE = PromotionRule("staging", soak=1800.0, max_age=86400.0)
NOW = "2026-11-27T12:00:00Z"
GOOD = TriedRelease("v7", "2026-11-27T11:00:00Z", "", (), "2026-11-27T10:00:00Z")


def refusals(tried: TriedRelease, rule: PromotionRule = RULE, now: str = NOW) -> list[str]:
    return list(promotion_refusals(rule, tried, now))


def test_what_is_good_for_long_enough_may_be_promoted() -> None:
    assert refusals(GOOD) == []
    assert refusals(replace(GOOD, live_since=NOW), PromotionRule("staging")) == []


@pytest.mark.parametrize(
    ("tried", "why"),
    [
        (replace(GOOD, live_since=""), "v7 was never live in staging"),
        (replace(GOOD, taken_back="rolled back to v6"), "v7 was taken back in staging: rolled back to v6"),
        (replace(GOOD, unhealthy=("api: 503",)), "v7 is not healthy in staging: api: 503"),
        (
            replace(GOOD, built="2026-11-25T06:30:00Z"),
            "v7 was built 2 days 6 hours ago, and artifacts older than 1 day are refused",
        ),
        (
            replace(GOOD, live_since="2026-11-27T11:42:30Z"),
            "v7 may be promoted in 13 minutes: it has to be live in staging for 30 minutes",
        ),
        (
            replace(GOOD, live_since="2026-11-27T12:30:00Z"),  # a clock that went back
            "v7 may be promoted in 30 minutes: it has to be live in staging for 30 minutes",
        ),
    ],
)
def test_each_refusal_says_what_is_missing(tried: TriedRelease, why: str) -> None:
    assert refusals(tried) == [why]


def test_all_that_is_missing_is_said_at_once_what_needs_time_last() -> None:
    tried = replace(GOOD, live_since=NOW, unhealthy=("api: 503", "web: 500"), taken_back="x")
    found = refusals(tried)
    assert len(found) == 4
    assert found[-1].startswith("v7 may be promoted in")
