"""Maintenance at Netlify is a deploy of its own, in front of the one that was live, and ends with exactly that one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from abreast.core.diagnostics import DiagnosticSeverity
from abreast.core.errors import PlatformError
from abreast.core.maintenance import MaintenanceMode
from abreast.platforms.interface import MaintenanceMove
from abreast.platforms.netlify.maintenance import deploy_behind
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from netlify_stage import Stage, netlify_stage

MODE = MaintenanceMode("a new disk", "ada", "2026-11-27T00:00:00.000Z", "Back at five", retry_after=600)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with netlify_stage(tmp_path) as found:
        yield found


def switch(stage: Stage, mode: MaintenanceMode | None) -> None:
    stage.run(lambda netlify: netlify.switch_maintenance([MaintenanceMove(stage.service, mode)], stage.tell))


def page(stage: Stage, path: str = "") -> httpx2.Response:
    return httpx2.get(f"{stage.url}/s/shop/{path}")


def live_deploy(stage: Stage) -> str:
    return str(stage.emulator.sites["site-shop"].live_deploy_id)


def deploy(stage: Stage, version: str) -> str:
    """Deploy a version and return its deploy."""
    staged = stage.stage(version)
    stage.turn(staged)
    return staged.handle["deploy"]


def test_users_get_the_page_at_every_path_and_then_exactly_the_deploy_that_was_live(stage: Stage) -> None:
    before = deploy(stage, "v1")
    switch(stage, MODE)
    for path in ("", "index.html", "deep/er?x=1"):
        answer = page(stage, path)
        assert answer.status_code == 503
        assert "Back at five" in answer.text
        assert (answer.headers["cache-control"], answer.headers["retry-after"]) == ("no-store", "600")
    made = live_deploy(stage)
    for _ in range(2):
        switch(stage, None)
    assert live_deploy(stage) == before
    assert page(stage).text == "v1"
    assert made not in stage.emulator.deploys


def test_it_changes_nothing_twice_and_new_words_are_a_new_page(stage: Stage) -> None:
    before = deploy(stage, "v1")
    for _ in range(2):
        switch(stage, MODE)
    assert len(stage.emulator.deploys) == 2
    switch(stage, replace(MODE, message="Back at six"))
    assert "Back at six" in page(stage).text
    assert len(stage.emulator.deploys) == 2, "the earlier page stayed"
    switch(stage, None)
    assert live_deploy(stage) == before


def test_a_turn_meanwhile_changes_what_is_behind_the_page(stage: Stage) -> None:
    first = deploy(stage, "v1")
    switch(stage, MODE)
    text = page(stage).text
    second = deploy(stage, "v2")
    assert page(stage).text == text
    live = stage.run(lambda netlify: netlify.live_version(stage.service))
    assert live
    assert live.handle["deploy"] == second != first
    switch(stage, None)
    assert page(stage).text == "v2"
    assert live_deploy(stage) == second
    assert first in stage.emulator.deploys


def test_it_ends_without_any_record_on_another_machine(stage: Stage, tmp_path: Path) -> None:
    deploy(stage, "v1")
    switch(stage, MODE)
    stage.folder = tmp_path / "elsewhere"
    switch(stage, None)
    assert page(stage).text == "v1"


@pytest.mark.parametrize("lost", ["POST /deploys$", "POST /restore$", "PUT /files/"])
def test_lost_answers_are_looked_up(stage: Stage, lost: str) -> None:
    deploy(stage, "v1")
    method, path = lost.split()
    stage.emulator.faults.planned.append(InjectedFault(method, path, FaultKind.RESPONSE_LOST))
    switch(stage, MODE)
    assert page(stage).status_code == 503
    assert len(stage.emulator.deploys) == 2
    switch(stage, None)
    assert page(stage).text == "v1"


def test_a_netlify_that_does_not_answer_with_503_is_left_as_it_was(stage: Stage) -> None:
    before = deploy(stage, "v1")
    stage.emulator.unsupported_statuses = {503}
    with pytest.raises(PlatformError, match="answers with 404 where a rule of the deploy says 503") as refused:
        switch(stage, MODE)
    assert "users noticed nothing" in refused.value.what
    assert (live_deploy(stage), set(stage.emulator.deploys)) == (before, {before})


def test_a_deploy_that_is_gone_is_said_and_another_one_leads_out(stage: Stage) -> None:
    before = deploy(stage, "v1")
    switch(stage, MODE)
    del stage.emulator.deploys[before]
    with pytest.raises(PlatformError, match=f"the deploy {before} .* is gone from Netlify"):
        switch(stage, None)
    assert page(stage).status_code == 503
    deploy(stage, "v2")
    switch(stage, None)
    assert page(stage).text == "v2"


def test_what_netlify_cannot_do_is_said(stage: Stage) -> None:
    def faults(mode: MaintenanceMode) -> list[str]:
        move = MaintenanceMove(stage.service, mode)
        found = stage.run(lambda netlify: netlify.inspect_maintenance(move))
        assert "rules of Netlify do not see who asks for JSON" in found[-1].what
        return [each.what for each in found if each.level is DiagnosticSeverity.FAULT]

    deploy(stage, "v1")
    assert faults(MODE) == []
    assert faults(replace(MODE, allow=("203.0.113.7/32",))) == ["Netlify cannot let addresses through"]
    stage.emulator.deploys[live_deploy(stage)].locked = True
    with pytest.raises(PlatformError, match="is locked to deploy"):
        faults(MODE)
    stage.service = replace(stage.service, settings={"site": "shop", "branch": "staging"})
    assert faults(MODE) == ["a branch deploy at Netlify cannot be in maintenance"]


def test_only_its_own_titles_name_a_deploy_behind() -> None:
    assert deploy_behind(None) == ""
