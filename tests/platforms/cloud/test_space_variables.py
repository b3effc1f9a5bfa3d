"""Variables and secrets of a Space: only what differs is written, since each write restarts what users are on."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abreast.core.model import Resources, Version
from abreast.platforms.interface import Platform, ReportsLiveVersion, TrafficMove
from abreast.testing.platforms.huggingface.space_runtime import Space, Variable
from platform_harness import SpaceHarness

SECRETS = frozenset({"KEY", "TOKEN"})
FIRST = {"COLOUR": "red", "KEY": "s3cret-1", "TOKEN": "t0ken-1", "ABREAST_COMMIT": "x", "ABREAST_SERVICE": "api"}


@pytest.fixture
def space(tmp_path: Path) -> Iterator[SpaceHarness]:
    with ExitStack() as cleanup:
        yield SpaceHarness(tmp_path, cleanup)


def emulated(space: SpaceHarness) -> Space:
    return space.emulator.spaces["owner/api"]


def values(variables: Mapping[str, Variable]) -> dict[str, str]:
    return {name: variable.value for name, variable in variables.items()}


def move(space: SpaceHarness, version: Version, env: Mapping[str, str]) -> int:
    """Move users to a version with these variables; return how often that restarted what they were on."""
    before, secrets = emulated(space).restart_count, SECRETS & env.keys()
    moved = TrafficMove(space.service, version, env, secrets)
    space.run(lambda platform: platform.switch_traffic([moved], space.report))
    return emulated(space).restart_count - before


def writes(space: SpaceHarness) -> list[str]:
    return [
        path.rpartition("/")[2]
        for method, path in space.emulator.faults.requests
        if method in {"POST", "DELETE"} and path.endswith(("/variables", "/secrets", "/commit/main"))
    ]


def test_a_deployment_with_the_same_values_restarts_nothing(space: SpaceHarness) -> None:
    emulated(space).variables = {"THEIRS": Variable("1"), "COLOUR": Variable("red")}
    move(space, space.stage("one"), FIRST)
    assert values(emulated(space).variables) == {"THEIRS": "1", "COLOUR": "red", "ABREAST_SERVICE": "api"}
    assert values(emulated(space).secrets) == {"KEY": "s3cret-1", "TOKEN": "t0ken-1"}
    space.emulator.faults.requests.clear()
    assert move(space, space.stage("two"), FIRST) == 0
    assert writes(space) == ["main"]
    assert space.served_commit() == space.commit("two")


def test_what_differs_is_written_right_before_the_commit(space: SpaceHarness) -> None:
    move(space, space.stage("one"), FIRST)
    two = space.stage("two")
    space.emulator.faults.requests.clear()
    assert move(space, two, {**FIRST, "COLOUR": "blue", "KEY": "s3cret-2"}) == 2
    made = [method for method, path in space.emulator.faults.requests if not path.startswith("/h/")]
    at = [path for _, path in space.emulator.faults.requests if not path.startswith("/h/")].index(
        "/api/spaces/owner/api/commit/main"
    )
    assert made[at - 2 : at + 1] == ["POST", "POST", "POST"], "the files were fetched before"
    assert writes(space) == ["secrets", "variables", "main"]
    assert "huggingface: setting the secret KEY" in space.reports
    assert not any("s3cret" in text for text in space.reports)
    assert not any("s3cret" in secret.description for secret in emulated(space).secrets.values())


def test_a_secret_that_somebody_else_set_is_written_again(space: SpaceHarness) -> None:
    move(space, space.stage("one"), FIRST)
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    ours = emulated(space).secrets["KEY"]
    emulated(space).secrets["KEY"] = replace(ours, value="by hand", updated_at=later)
    assert move(space, space.stage("two"), FIRST) == 1
    assert emulated(space).secrets["KEY"].value == "s3cret-1"


def test_with_another_token_secrets_are_written_again(space: SpaceHarness) -> None:
    move(space, space.stage("one"), FIRST)
    unknown = {name: replace(secret, description="theirs") for name, secret in emulated(space).secrets.items()}
    emulated(space).secrets = unknown
    assert move(space, space.stage("two"), FIRST) == 2


def test_a_variable_becomes_a_secret_and_is_not_shown_any_more(space: SpaceHarness) -> None:
    emulated(space).variables = {"KEY": Variable("shown to everybody")}
    move(space, space.stage("one"), FIRST)
    assert "KEY" not in emulated(space).variables
    assert emulated(space).secrets["KEY"].value == "s3cret-1"


def test_what_no_version_needs_any_more_goes(space: SpaceHarness) -> None:
    emulated(space).secrets = {"THEIRS": Variable("1")}
    move(space, space.stage("one"), FIRST)
    move(space, space.stage("two"), {"ABREAST_SERVICE": "api"})
    assert values(emulated(space).variables) == {"ABREAST_SERVICE": "api"}
    assert values(emulated(space).secrets) == {"THEIRS": "1"}


def test_a_way_back_restores_the_variables(space: SpaceHarness) -> None:
    one = space.stage("one")
    move(space, one, FIRST)
    move(space, space.stage("two"), {**FIRST, "COLOUR": "blue", "NEW": "1", "KEY": "s3cret-2"})
    move(space, one, FIRST)
    assert values(emulated(space).variables) == {"COLOUR": "red", "ABREAST_SERVICE": "api"}
    assert values(emulated(space).secrets) == {"KEY": "s3cret-1", "TOKEN": "t0ken-1"}


def test_a_way_back_to_what_others_published_restores_their_variables(space: SpaceHarness) -> None:
    space.deploy("theirs")
    emulated(space).variables = {"COLOUR": Variable("theirs"), "API_TOKEN": Variable("a variable that looks secret")}
    before = space.live_version()
    assert before
    assert "looks secret" not in str(before.handle), "a plan holds no secret"
    move(space, space.stage("one"), {**FIRST, "NEW": "1"})
    assert emulated(space).variables["COLOUR"].value == "red"
    move(space, before, {})
    assert values(emulated(space).variables) == {"COLOUR": "theirs", "API_TOKEN": "a variable that looks secret"}
    assert space.served_commit() == space.commit("theirs")


def test_the_plan_says_what_restarts(space: SpaceHarness) -> None:
    move(space, space.stage("one"), FIRST)
    space.service = replace(
        space.service, env={"COLOUR": "blue", "SAME": "1"}, secrets={"KEY": "${KEY}", "NEW_KEY": "${NEW_KEY}"}
    )
    emulated(space).variables["SAME"] = Variable("1")

    async def notes(platform: Platform) -> str:
        assert isinstance(platform, ReportsLiveVersion)
        await platform.live_version(space.service)
        return "\n".join(platform.capabilities(space.service).notes)

    told = space.run(notes)
    assert "the turn sets COLOUR, ABREAST_ENVIRONMENT, NEW_KEY; each write restarts the Space that users are on" in told
    assert "the turn sets KEY where the value has changed" in told


def test_resources_are_the_hardware_that_has_them(space: SpaceHarness) -> None:
    space.service = replace(space.service, resources=Resources(8, 32_000_000_000))
    assert "asks for the hardware cpu-upgrade" in space.run(_notes_of(space))
    move(space, space.stage("one"), {})
    assert emulated(space).hardware == "cpu-upgrade"


def _notes_of(space: SpaceHarness) -> Callable[[Platform], Awaitable[str]]:
    async def notes(platform: Platform) -> str:
        return "\n".join(platform.capabilities(space.service).notes)

    return notes


def test_hardware_is_requested_where_it_differs(space: SpaceHarness) -> None:
    space.service = replace(space.service, settings={**space.service.settings, "hardware": "cpu-upgrade"})
    move(space, space.stage("one"), {})
    assert emulated(space).hardware == "cpu-upgrade"
    space.emulator.faults.requests.clear()
    assert move(space, space.stage("two"), {}) == 0
