"""The hash of a proposal: the same as long as the plan does the same, and what is told if it does not."""

from dataclasses import replace

import pytest

from abreast.core.gates import Gate
from abreast.core.model import Service
from abreast.core.plan import Action, DeploymentKind, OnFailure, Plan, ServicePlan
from abreast.core.proposals import MAX_CHANGES, Proposal, ProposalEnd, ProposalState, canonical, changes, digest_of

COMMIT = "6f9ec786e2de076b7c4a5f0b8af2be23e8fb7a2a"
API = ServicePlan(Service("api", "local"), Action.DEPLOY, "app.py changed", COMMIT)
WEB = ServicePlan(Service("web", "local"), Action.KEEP, "unchanged", COMMIT)
PLAN = Plan(
    "", DeploymentKind.DEPLOY, "shop", "staging", "", COMMIT, (API, WEB), 1.0, 1.0, OnFailure.TOGETHER,
    gates=(Gate("lint", run="ruff"),),
)  # fmt: skip


@pytest.mark.parametrize(
    "same",
    [
        replace(PLAN, author="ada", authors=("ada", "bob"), run_url="https://x", reason="why", deployment="01X"),
        replace(PLAN, proposed_by="robot (123)"),
        replace(PLAN, services=(replace(API, why="forced", notes=("slow",), changed_files=(("a", "*"),)), WEB)),
        replace(PLAN, notes=("look at this",)),
    ],
    ids=["who and why", "who proposed it", "explanations", "notes"],
)
def test_what_only_explains_a_plan_does_not_change_its_hash(same: Plan) -> None:
    assert digest_of(canonical(same)) == digest_of(canonical(PLAN))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(PLAN, commit="b" * 40), f"commit: {COMMIT} → {'b' * 40}"),
        (replace(PLAN, release="v3"), "release: nothing → v3"),
        (replace(PLAN, services=(API, replace(WEB, action=Action.REMOVE))), "services.web.action: keep → remove"),
        (replace(PLAN, gates=()), "gates: "),
        (replace(PLAN, gates=(replace(PLAN.gates[0], run="true"),)), "gates.lint.run: ruff → true"),
        (replace(PLAN, services=(API, replace(WEB, service=Service("web", "local", instances=1)))), "services.web.service.instances: 2 → 1"),
        (replace(PLAN, emergency=True), "emergency: false → true"),
    ],
    ids=["commit", "release", "action", "no gates", "another gate", "definition", "emergency"],
)  # fmt: skip
def test_what_a_plan_does_changes_its_hash_and_is_told(other: Plan, told: str) -> None:
    before, now = canonical(PLAN), canonical(other)
    assert digest_of(before) != digest_of(now)
    (line,) = changes(before, now)
    assert line.startswith(told)


def test_of_many_differences_the_first_are_told() -> None:
    services = tuple(replace(API, service=Service(f"s{number}", "local")) for number in range(30))
    before = canonical(replace(PLAN, services=services))
    now = canonical(replace(PLAN, services=tuple(replace(each, commit="b" * 40) for each in services)))
    told = changes(before, now)
    assert len(told) == MAX_CHANGES + 1
    assert told[-1] == "and 22 more"


@pytest.mark.parametrize(
    ("command", "options", "typed"),
    [
        ("deploy", {"services": ["api"], "since": None, "release": "v3", "force": True},
         "abreast deploy --env staging --service api --release v3 --force"),
        ("promote", {"source": "test", "release": None, "deployment": None}, "abreast promote --to staging --from test"),
        ("rollback", {"services": [], "release": None}, "abreast rollback --env staging"),
    ],
)  # fmt: skip
def test_the_command_that_does_the_same(command: str, options: dict[str, object], typed: str) -> None:
    assert proposal(command, options).command_line == typed


def test_its_state() -> None:
    made = proposal("deploy", {})
    assert made.state("2026-11-27T11:59:59.999Z") is ProposalState.OPEN
    assert made.state("2026-11-27T12:00:00.000Z") is ProposalState.EXPIRED
    ended = replace(made, end=ProposalEnd(ProposalState.REJECTED, "ada", "no"))
    assert ended.state("2027-01-01T00:00:00.000Z") is ProposalState.REJECTED


def proposal(command: str, options: dict[str, object]) -> Proposal:
    document = canonical(PLAN)
    return Proposal(
        "staging", digest_of(document), command, options, document, "s", "r", "by", "ada", "2026-11-27T12:00:00.000Z"
    )
