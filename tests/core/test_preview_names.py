"""Names of previews, and what a preview shares."""

from dataclasses import replace

import pytest

from abreast.core.model import LiveService, Service, Version
from abreast.core.plan import Action, ServicePlan
from abreast.core.planner import ServiceFacts, include_routing_services, share_services
from abreast.core.previews import PreviewName

API = Service("api", "local")
LIVE = LiveService(
    "api",
    "local",
    "v7",
    "a" * 40,
    "sha256:1",
    "D",
    "2026-11-21T01:02:03Z",
    Version("api-D", "api", (), "http://base"),
    API,
)
PLANNED = ServicePlan(replace(API, instances=1), Action.DEPLOY, "never deployed here", "b" * 40)


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("staging-pr-17", PreviewName("staging", 17)),
        ("a-pr-1-pr-2", PreviewName("a-pr-1", 2)),
        ("staging-pr-0", None),
        ("staging-pr-017", None),
        ("staging-pr-", None),
        ("-pr-1", None),
        ("staging-PR-1", None),
        ("staging-pr-1\n", None),
        ("staging-pr-1234567890", None),
        ("staging", None),
    ],
)
def test_the_name_of_a_preview_says_what_it_is_of(name: str, parsed: PreviewName | None) -> None:
    assert PreviewName.parse(name) == parsed
    assert parsed is None or str(parsed) == name


def share(part: ServicePlan, facts: ServiceFacts, definition: Service = API) -> ServicePlan:
    (shared,) = share_services([part], {"api": facts}, {"api": definition}, "staging")
    return shared


def test_only_what_is_live_and_unchanged_in_the_base_is_shared() -> None:
    unchanged = ServiceFacts(LIVE, (), is_running=True)
    shared = share(PLANNED, unchanged)
    assert (shared.action, shared.shared, shared.service) == (Action.KEEP, LIVE, PLANNED.service)
    assert share(PLANNED, replace(unchanged, changed_files=[("a", "**")])).why == "a changed (**)"
    assert share(PLANNED, replace(unchanged, live=None)) == PLANNED
    assert share(PLANNED, replace(unchanged, force=True)).action is Action.DEPLOY
    assert share(PLANNED, unchanged, replace(API, run="serve --new")).why.endswith("changed: run")
    assert share(PLANNED, replace(unchanged, changed_files=None)).action is Action.DEPLOY
    own = replace(PLANNED, previous=LIVE)
    assert share(own, unchanged) == own
    unselected = replace(PLANNED, action=Action.KEEP, why="kept: not among --service web")
    assert share(unselected, unchanged).why == "shared with staging: not among --service web"
    assert share(unselected, unchanged).shared == LIVE


def test_a_shared_service_that_leads_to_a_new_one_is_deployed_as_the_preview_has_it() -> None:
    shared = share(PLANNED, ServiceFacts(LIVE, (), is_running=True))
    web = ServicePlan(Service("web", "local"), Action.DEPLOY, "changed", "b" * 40)
    led, _ = include_routing_services([shared, web], {"api": ["web"], "web": []})
    assert (led.action, led.shared, led.service, led.commit) == (Action.DEPLOY, None, PLANNED.service, "b" * 40)
