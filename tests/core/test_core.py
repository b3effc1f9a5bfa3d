"""The rules, as data and as properties."""

import json
import pickle
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.changes.watch_patterns import match_files as matching
from abreast.core.codec import dump, load
from abreast.core.dependency_order import dependency_waves
from abreast.core.errors import StateError
from abreast.core.model import Address, Build, Chapter, Failure, HealthSettings, LiveService, Service, Version
from abreast.core.plan import Action, OnFailure, ServicePlan
from abreast.core.planner import ServiceFacts, plan_services, rollout_waves
from abreast.core.probes import FAILURE_THRESHOLD, ProbeResult, ProbeSeries, ProbeVerdict
from abreast.core.redaction.redactor import Redactor
from abreast.core.secrets import MASK, Secret, looks_secret
from abreast.core.states import DeploymentState, transition
from abreast.core.turn_back import decide_turn_back

NAMES = st.text("abcdefg", min_size=1, max_size=3)


# ── order ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4), max_size=7))
def test_each_comes_after_all_it_needs_or_the_circle_is_named(needs: dict[str, list[str]]) -> None:
    try:
        groups = dependency_waves(needs)
    except ValueError as error:
        circle = str(error).split(" → ")
        assert circle[0] == circle[-1]
        for name, need in pairwise(circle):
            assert need in needs[name]
        return
    place = {name: number for number, group in enumerate(groups) for name in group}
    assert set(place) == set(needs)
    assert all(place[need] < place[name] for name, wanted in needs.items() for need in wanted if need in needs)


# ── states ─────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.sampled_from(DeploymentState)))
def test_a_final_state_is_never_left(steps: list[DeploymentState]) -> None:
    now, over = DeploymentState.WAITING, False
    for step in steps:
        try:
            now = transition(now, step)
        except StateError:
            assert step is not now
            continue
        assert not over or step is now
        over = now.is_final


def test_exit_codes_are_those_of_the_command_line() -> None:
    assert {state.value: state.exit_code for state in DeploymentState} == {
        "waiting": 4, "running": 4, "turning-back": 4, "stuck": 4,
        "approving": 0, "succeeded": 0, "superseded": 0, "turned-back": 1, "cancelled": 1,
    }  # fmt: skip


def test_every_state_can_still_end() -> None:
    ends = {state for state in DeploymentState if state.is_final}
    for _ in DeploymentState:
        for one in DeploymentState:
            for to in set(ends):
                try:
                    transition(one, to)
                    ends.add(one)
                except StateError:
                    pass
    assert ends == set(DeploymentState)


# ── the trial ──────────────────────────────────────────────────────────────────────────────────

LOOKS = st.lists(st.tuples(st.floats(0.01, 3), st.booleans()), max_size=60)


@given(LOOKS, st.floats(0, 5), st.floats(0, 20))
def test_a_trial_passes_only_after_holding_and_a_verdict_stays(
    looks: list[tuple[float, bool]], hold: float, start: float
) -> None:
    trial, now, good_for, bad_run = ProbeSeries(start, hold), 0.0, None, 0
    for pause, good in looks:
        now += pause
        before, trial = trial, trial.with_result(ProbeResult(now, good, "why"))
        if before.verdict is not ProbeVerdict.OPEN:
            assert trial == before
            continue
        good_for = (now if good_for is None else good_for) if good else None
        bad_run = 0 if good else bad_run + 1
        if trial.verdict is ProbeVerdict.PASSED:
            assert good_for is not None
            assert now - good_for >= hold
        if trial.verdict is ProbeVerdict.FAILED:
            assert "why" in trial.why
            assert bad_run >= FAILURE_THRESHOLD or now >= start


def test_a_final_look_fails_at_once() -> None:
    assert (
        ProbeSeries(60, 1).with_result(ProbeResult(0, success=False, why="gone", final=True)).verdict
        is ProbeVerdict.FAILED
    )


# ── the way back ───────────────────────────────────────────────────────────────────────────────


@given(st.lists(NAMES, unique=True, min_size=1), st.lists(st.none() | NAMES, min_size=1), st.sampled_from(OnFailure))
def test_everybody_goes_back_or_stays(names: list[str], guilty: list[str | None], on_failure: OnFailure) -> None:
    way = decide_turn_back(names, [Failure(Chapter.WATCH, "x", service) for service in guilty], on_failure)
    assert sorted((*way.turn_back, *way.stay_live)) == sorted(names)
    if on_failure is OnFailure.TOGETHER or None in guilty:
        assert not way.stay_live
    else:
        assert set(way.turn_back) == set(names) & set(guilty)


# ── the planner ────────────────────────────────────────────────────────────────────────────────

SERVICE = Service("backend", "local", run="x")
LIVE = LiveService(
    "backend", "local", "v1", "a" * 40, "sha256:1", "D", "2026", Version("backend-D", "backend", (), ""), SERVICE
)


@pytest.mark.parametrize(
    ("service", "facts", "why"),
    [
        (SERVICE, ServiceFacts(None, (), is_running=False), "never deployed here"),
        (SERVICE, ServiceFacts(LIVE, (), is_running=True), None),
        (SERVICE, ServiceFacts(LIVE, (("a.py", "**"),), is_running=True), "a.py changed (**)"),
        (SERVICE, ServiceFacts(LIVE, (("a", "*"), ("b", "*")), is_running=True), "a changed (*) and 1 more"),
        (SERVICE, ServiceFacts(LIVE, None, is_running=True), "what changed since aaaaaaa cannot be told"),
        (SERVICE, ServiceFacts(LIVE, (), is_running=False), "v1 is not running"),
        (
            Service("backend", "local", run="y"),
            ServiceFacts(LIVE, (), is_running=True),
            "its definition in abreast.yml changed: run",
        ),
    ],
)
def test_the_plan_says_why(service: Service, facts: ServiceFacts, why: str | None) -> None:
    (part,) = plan_services([service], {"backend": facts}, "b" * 40)
    assert part.action is (Action.DEPLOY if why else Action.KEEP)
    assert part.why.startswith(why or "no change since v1 (aaaaaaa)")
    assert part.commit == ("b" * 40 if why else LIVE.commit)


@given(st.sets(st.sampled_from(["a", "b", "c"])), st.sets(st.sampled_from(["a", "b", "c"])))
def test_only_what_is_named_is_deployed(changed: set[str], only: set[str]) -> None:
    services = [Service(name, "local", run="x") for name in "abc"]
    facts = {name: ServiceFacts(None, (), is_running=False) for name in "abc"}
    parts = plan_services(services, facts, "c", sorted(only))
    assert {part.name for part in parts if part.action is Action.DEPLOY} == (only or set("abc"))


def test_the_next_look_comes_when_the_trial_could_pass() -> None:
    trial = ProbeSeries(start=10, hold=2)
    assert trial.next_delay(0.5, interval=1.0) == 1.0
    good = trial.with_result(ProbeResult(0.5, success=True))
    assert good.next_delay(0.6, interval=1.0) == 1.0
    assert good.next_delay(2.0, interval=1.0) == pytest.approx(0.5)
    assert good.next_delay(3.0, interval=1.0) == 0.0


# ── globs ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("patterns", "file", "counts"),
    [
        ([], "a/b", True), (["a/**"], "a/b/c", True), (["a/**"], "b/a/c", False), (["**/*.md"], "README.md", True),
        (["a/**", "!**/*.md"], "a/x.md", False), (["!docs/**"], "docs/x", False), (["!docs/**"], "src/x", True),
        (["**"], ".github/x", True), (["{a,b}/*.py"], "b/x.py", True), (["*.py"], "a/x.py", False),
        (["!(docs)/**"], "src/x", True), (["!(docs)/**"], "docs/x", False),
    ],
)  # fmt: skip
def test_globs_count_files(patterns: list[str], file: str, counts: bool) -> None:
    assert bool(matching(patterns, [file])) is counts


# ── secrets ────────────────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=300), st.lists(st.text("abc1", min_size=3, max_size=9), max_size=4), st.data())
def test_known_secrets_do_not_pass_however_the_stream_is_cut(
    noise: bytes, secrets: list[str], data: st.DataObject
) -> None:
    stream = noise
    for secret in secrets:
        at = data.draw(st.integers(0, len(stream)))
        stream = stream[:at] + secret.encode() + stream[at:]
    redactor = Redactor(secrets)
    shown, rest = b"", stream
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        shown += redactor.feed(rest[:cut])
        rest = rest[cut:]
    shown += redactor.flush()
    assert not any(secret.encode() in shown for secret in secrets)
    if not secrets:
        assert shown == stream


def test_a_secret_masks_itself_and_is_not_written() -> None:
    secret = Secret("TOKEN", "hidden-value")
    assert "hidden" not in f"{secret} {secret!r} {[secret]}"
    assert str(secret) == MASK
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


@pytest.mark.parametrize(
    "name", ["API_TOKEN", "DATABASE_URL", "password", "SLACK_WEBHOOK_URL", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["LOG_LEVEL", "API_URL", "KEYBOARD", "MONKEY", "NODE_ENV"])
def test_other_names_are_not(name: str) -> None:
    assert not looks_secret(name)
    assert looks_secret(name, "postgres://app:pw@db/shop")


# ── the codec ──────────────────────────────────────────────────────────────────────────────────


def test_values_come_back_from_json_as_they_were() -> None:
    service = Service(
        "a",
        "local",
        {"port": 1},
        ("x",),
        ("u",),
        ("b",),
        Build("r", "o", 3),
        None,
        1,
        HealthSettings("/", 1, 2, 3),
        {"A": "b"},
    )
    version = Version("a-1", "a", (Address("http://x", "s"),), "u")
    live = LiveService("a", "local", "v1", "c", "d", "e", "f", version, service)
    part = ServicePlan(service, Action.KEEP, "why", "c", None, live, ("n",))
    assert load(ServicePlan, dump(part)) == part
    assert load(Version | Failure, dump(Failure(Chapter.BUILD, "w", "s", ("l",)))) == Failure(
        Chapter.BUILD, "w", "s", ("l",)
    )
    assert load(Version | Failure, dump(version)) == version


def test_a_site_waits_for_a_service_that_it_routes_to_unless_its_address_is_known() -> None:
    site = ServicePlan(Service("site", "netlify", routes={"/api": "api"}), Action.DEPLOY, "", "c1")
    api = ServicePlan(Service("api", "huggingface", run="serve"), Action.DEPLOY, "", "c1")
    assert rollout_waves([site, api]) == (("api",), ("site",))
    known = replace(api, reserved_url="https://api-b.example")
    assert rollout_waves([site, known]) == (("api", "site"),)
