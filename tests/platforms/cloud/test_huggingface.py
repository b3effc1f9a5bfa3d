"""Spaces: the platform against the emulator, which the Hub's own client for Python can talk to, too."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from abreast.core.errors import PlatformError
from abreast.platforms.huggingface.repository import RELEASE_FILE
from abreast.platforms.interface import Platform, ReportsLogs, VersionRef
from abreast.provider_api.api_client import ConflictError
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.huggingface import READ_TOKEN
from platform_harness import SpaceHarness


@pytest.fixture
def space(tmp_path: Path) -> Iterator[SpaceHarness]:
    with ExitStack() as cleanup:
        yield SpaceHarness(tmp_path, cleanup)


def test_a_tree_waits_on_a_branch_and_is_built_in_the_turn(space: SpaceHarness) -> None:
    emulated = space.emulator.spaces["owner/api"]
    version = space.stage("one")
    assert set(emulated.branches) == {"main", "one"}
    assert (emulated.start_count, space.emulator.head("owner/api").title) == (0, "initial commit")
    space.switch_traffic(version)
    head = space.emulator.head("owner/api")
    assert (head.title, emulated.sha, emulated.start_count) == ("one", head.id, 1)
    assert json.loads(space.emulator.repository.blobs[head.tree[RELEASE_FILE].oid]) == {
        "release": "", "commit": space.commit("one"), "version": "one",
    }  # fmt: skip
    assert [text for text in space.reports if text.startswith("huggingface: ")] == [
        "huggingface: uploading changed files to owner/api",
        *(f"huggingface: {stage}" for stage in ("NO_APP_FILE", "BUILDING", "APP_STARTING", "RUNNING")),
    ]
    assert any("COPY . ." in text for text in space.reports), "the build's log is told"


def test_only_what_differs_is_sent_and_what_is_not_there_any_more_goes(space: SpaceHarness) -> None:
    order = space.stage_request("one")
    (order.artifact_path / "old.txt").write_text("old")
    (order.artifact_path / "README.md").write_text("# Not a card")
    (order.artifact_path / "passwd").symlink_to("/etc/passwd")
    space.switch_traffic(space.run(lambda platform: platform.stage(order, space.report)))
    assert set(space.emulator.head("owner/api").tree) == {"Dockerfile", "README.md", "app.py", "old.txt", RELEASE_FILE}
    space.emulator.faults.requests.clear()
    space.deploy("two")
    tree = space.emulator.head("owner/api").tree
    assert set(tree) == {"Dockerfile", "README.md", "app.py", RELEASE_FILE}
    assert space.emulator.repository.blobs[tree["README.md"].oid].startswith(b"---\ntitle: Emulated")


@pytest.mark.parametrize("broken", [True, False])
def test_one_that_does_not_come_up_says_why(space: SpaceHarness, broken: bool) -> None:
    one = space.deploy("one")
    order = space.stage_request("two")
    failing = "echo error: no such package: leftpad; exit 1"
    name, text = ("Dockerfile", f"FROM x\nRUN {failing}\n") if broken else ("app.py", "raise SystemExit('leftpad')")
    (order.artifact_path / name).write_text(text)
    two = space.run(lambda platform: platform.stage(order, space.report))
    with pytest.raises(PlatformError, match="BUILD_ERROR" if broken else "RUNTIME_ERROR") as raised:
        space.switch_traffic(two)
    assert "leftpad" in str(raised.value)
    space.switch_traffic(one)
    assert space.served_commit() == space.commit("one")


def test_the_last_lines_of_the_application_are_read_with_their_times(space: SpaceHarness) -> None:
    order = space.stage_request("one")
    (order.artifact_path / "app.py").write_text(
        "print('one', flush=True); print('two', flush=True)\n" + (order.artifact_path / "app.py").read_text()
    )
    space.switch_traffic(space.run(lambda platform: platform.stage(order, space.report)))

    async def read(platform: Platform) -> Sequence[tuple[str, str]]:
        assert isinstance(platform, ReportsLogs)
        return await platform.recent_logs(space.service, 2)

    lines = space.run(read)
    assert [text for _, text in lines][-2:] == ["one", "two"]
    assert all(datetime.fromisoformat(at) for at, _ in lines)


def test_a_commit_while_another_starts_has_an_end_of_its_own(space: SpaceHarness) -> None:
    one = space.deploy("one")
    order = space.stage_request("two")
    (order.artifact_path / "app.py").write_text(
        f"import time\ntime.sleep(2)\n{(order.artifact_path / 'app.py').read_text()}"
    )
    two = space.run(lambda platform: platform.stage(order, space.report))
    emulated = space.emulator.spaces["owner/api"]

    async def cut_off(platform: Platform) -> None:
        turning = asyncio.create_task(platform.switch_traffic([space.traffic_move(two)], space.report))
        while not emulated.stage.endswith("STARTING"):  # noqa: ASYNC110 (another thread sets it)
            await asyncio.sleep(0.01)
        turning.cancel()
        await asyncio.gather(turning, return_exceptions=True)
        await platform.switch_traffic([space.traffic_move(one)], space.report)

    space.run(cut_off)
    assert (emulated.stage, space.served_commit()) == ("RUNNING", space.commit("one"))


def test_one_whose_log_cannot_be_read_is_told_all_the_same(space: SpaceHarness) -> None:
    order = space.stage_request("one")
    (order.artifact_path / "Dockerfile").write_text("FROM x\nRUN exit 1\n")
    one = space.run(lambda platform: platform.stage(order, space.report))
    space.emulator.faults.planned = [InjectedFault("GET", "/logs/", FaultKind.STATUS, times=9, status=404)]
    with pytest.raises(PlatformError, match="BUILD_ERROR: no reason given"):
        space.switch_traffic(one)


def test_a_space_that_sleeps_is_woken(space: SpaceHarness) -> None:
    one = space.deploy("one")
    emulated = space.emulator.spaces["owner/api"]
    emulated.stage = "PAUSED"
    named = VersionRef(space.service, one.id, one.handle)
    seen = space.run(lambda platform: platform.observe([named]))[one.id]
    assert (seen.present, seen.exit_reason) == (False, "huggingface: PAUSED")
    space.switch_traffic(one)
    assert emulated.stage == "RUNNING"


def test_a_build_without_a_cache(space: SpaceHarness) -> None:
    space.service = replace(space.service, settings={**space.service.settings, "factory": True})
    space.deploy("one")
    assert space.emulator.spaces["owner/api"].factory_rebuild


def test_somebody_else_was_faster(space: SpaceHarness) -> None:
    one = space.stage("one")
    space.emulator.faults.planned = [
        InjectedFault("POST", "/commit/main$", FaultKind.STATUS, status=412, body='{"error": "moved"}')
    ]
    with pytest.raises(ConflictError, match="commit/main: status 412 moved"):
        space.switch_traffic(one)


def test_a_token_that_may_only_read_is_said(space: SpaceHarness) -> None:
    space.token = READ_TOKEN
    with pytest.raises(PlatformError, match=r"the token may not do this") as raised:
        space.stage("one")
    assert "HF_TOKEN with a token with write access to the Space" in str(raised.value)
