"""Netlify's limits: 500 requests a minute, 3 deploys a minute, 100 a day."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from abreast.core.errors import PlatformError, TransientError
from abreast.testing.platforms.netlify import TOKEN, RateLimit, RateLimits
from netlify_stage import SERVICE, netlify_stage

MINUTE, DAY = 60.0, 86_400.0
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def limits(*deploys: RateLimit, clock: Callable[[], float] = time.time) -> RateLimits:
    return RateLimits(requests=(RateLimit(500, MINUTE),), deploys=deploys, clock=clock)


def test_more_deploys_than_a_minute_allows_are_waited_for(tmp_path: Path) -> None:
    """The emulator's clock stands still until a deploy was refused; then a minute has passed."""
    create, began = ("POST", "/api/v1/sites/site-shop/deploys"), time.time() - MINUTE
    requests: list[tuple[str, str]] = []

    def clock() -> float:
        return began + MINUTE * (requests.count(create) > 4)

    with netlify_stage(tmp_path, limits(RateLimit(3, MINUTE), RateLimit(100, DAY), clock=clock)) as stage:
        requests = stage.emulator.faults.requests
        for number in range(4):
            stage.turn(stage.stage(f"web-{number}"))
        assert stage.served == "web-3"
        assert (requests.count(create), len(stage.emulator.deploys)) == (5, 4)


def test_the_way_back_needs_no_deploy(tmp_path: Path) -> None:
    with netlify_stage(tmp_path, limits(RateLimit(2, DAY))) as stage:
        first, second = stage.stage("web-1"), stage.stage("web-2")
        stage.turn(first)
        stage.turn(second)
        stage.turn(first)
        assert stage.served == "web-1"


def test_a_limit_of_a_day_is_said_at_once_with_its_end(tmp_path: Path) -> None:
    with netlify_stage(tmp_path, limits(RateLimit(1, DAY))) as stage:
        stage.turn(stage.stage("web-1"))
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        with pytest.raises(
            PlatformError, match="POST /sites/site-shop/deploys: rate limit exceeded until 20"
        ) as raised:
            stage.stage("web-2")
        assert not isinstance(raised.value, TransientError)
        assert f"{tomorrow:%Y-%m-%d}" in str(raised.value)
        assert stage.served == "web-1"


def test_many_deploys_in_a_day_are_said_in_the_plan_and_by_doctor(tmp_path: Path) -> None:
    with netlify_stage(tmp_path) as stage:
        stage.turn(stage.stage("web-1"))
        (made,) = stage.emulator.deploys.values()
        for number in range(78):
            stage.emulator.deploys[f"d{number}"] = type(made)(
                f"d{number}", made.site_id, "", draft=True, created_at=made.created_at
            )
        old = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
        stage.emulator.deploys["old"] = type(made)("old", made.site_id, "", draft=True, created_at=old)
        assert stage.run(lambda netlify: netlify.inspect_release(SERVICE, None)) == []
        stage.emulator.deploys["one more"] = type(made)(
            "one more", made.site_id, "", draft=True, created_at=made.created_at
        )
        (warning,) = stage.run(lambda netlify: netlify.inspect_release(SERVICE, None))
        assert "shop had 80 deploys in the last 24 hours, and Netlify accepts 100 a day" in warning.what


def test_every_answer_tells_the_limits(tmp_path: Path) -> None:
    now = [1_000_000.5]
    few = RateLimits((RateLimit(3, MINUTE),), (RateLimit(1, MINUTE),), clock=lambda: now[0])
    with netlify_stage(tmp_path, few) as stage, httpx2.Client(base_url=f"{stage.url}/api/v1", headers=HEADERS) as api:
        for remaining in ("2", "1", "0"):
            answer = api.get("/sites/site-shop")
            assert answer.status_code == 200
            told = [answer.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
            assert told == ["3", remaining, "1000061"]
        refused = api.get("/sites/site-shop")
        assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (429, "0")
        assert "Retry-After" not in refused.headers
        now[0] += MINUTE
        created = [api.post("/sites/site-shop/deploys", json={"draft": True}) for _ in range(2)]
        assert [(one.status_code, one.headers["X-RateLimit-Limit"]) for one in created] == [(200, "3"), (429, "1")]


def test_the_limits_are_netlifys() -> None:
    ours = RateLimits()
    assert ours.requests == (RateLimit(500, MINUTE),)
    assert ours.deploys == (RateLimit(3, MINUTE), RateLimit(100, DAY))
