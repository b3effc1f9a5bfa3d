"""Render: settings, variables, environment groups, secret files and logs of a service."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from abreast.core.errors import PlatformError
from abreast.core.model import Resources, Service
from abreast.platforms.render.settings import RenderSettings
from abreast.testing.platforms.render.service import ServiceKind
from render_stage import Stage, render_stage
from sample_project import SampleProject

AUTOSCALING = {"min": 2, "max": 5, "cpu": 70}
ON_RENDER = {
    "enabled": True, "min": 2, "max": 5,
    "criteria": {"cpu": {"enabled": True, "percentage": 70}, "memory": {"enabled": False, "percentage": 80}},
}  # fmt: skip


@pytest.fixture
def stage(project: SampleProject, tmp_path: Path) -> Iterator[Stage]:
    with render_stage(project, tmp_path) as found:
        yield found


def test_autoscaling_is_set_in_the_turn_and_removed_on_the_way_back(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    before = stage.present()
    stage.set(autoscaling=AUTOSCALING)
    for _ in range(2):
        stage.deploy(stage.project.commit())
    assert stage.service.autoscaling == ON_RENDER
    assert stage.requests("/autoscaling") == 1, "not again where it is the same"
    for _ in range(2):
        stage.turn(before)
    assert stage.service.autoscaling is None


def test_autoscaling_that_a_person_set_comes_back(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    by_hand = {**ON_RENDER, "max": 9, "enabled": False}
    stage.service.autoscaling, stage.service.instances = by_hand, 3
    before = stage.present()
    stage.set(autoscaling=AUTOSCALING)
    stage.deploy(stage.project.commit())
    assert stage.service.autoscaling == ON_RENDER
    stage.turn(before)
    assert (stage.service.autoscaling, stage.service.instances) == (by_hand, 3)


def test_instances_have_no_effect_while_autoscaling_is_on_and_the_plan_says_so(stage: Stage) -> None:
    stage.service.autoscaling = ON_RENDER
    stage.set(instances=4)
    assert stage.notes()[-1] == "`instances: 4` has no effect: autoscaling is on (2 to 5 instances)"
    stage.deploy(stage.project.commit())
    assert (stage.service.instances, stage.requests("/scale")) == (1, 0)


def test_resources_are_a_plan_that_the_turn_sets_and_the_way_back_restores(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    plain = stage.on_render
    stage.on_render = replace(plain, resources=Resources(1, 2_000_000_000))
    before = stage.present()
    assert "its plan at Render is starter; the turn sets standard, which has 1 CPU and 2GB" in stage.notes()
    for _ in range(2):
        stage.deploy(stage.project.commit())
    assert (stage.service.plan, changes(stage)) == ("standard", 1)
    assert not [note for note in stage.notes() if "plan at Render" in note]
    stage.on_render = plain  # the definition of the version that comes back
    stage.turn(before)
    assert (stage.service.plan, changes(stage)) == ("starter", 2)


def changes(stage: Stage) -> int:
    """Return how often the plan was changed."""
    return sum("gets the plan" in text for text in stage.told)


def test_a_plan_that_its_type_does_not_have_is_refused(stage: Stage) -> None:
    stage.service.kind = ServiceKind.STATIC
    stage.on_render = replace(stage.on_render, resources=Resources(1, 2_000_000_000))
    with pytest.raises(PlatformError, match=r"has `resources`, and the Render service .* is a static site"):
        stage.live()


def test_instances_that_a_person_set_come_back(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    stage.service.instances = 3
    before = stage.present()
    stage.set(instances=5)
    stage.deploy(stage.project.commit())
    assert stage.service.instances == 5
    stage.turn(before)
    assert stage.service.instances == 3


def test_a_pre_deploy_command_is_set_once_and_the_one_before_comes_back(stage: Stage) -> None:
    stage.service.pre_deploy, stage.service.auto_deploy = "true", "no"
    stage.deploy(stage.project.commit())
    stage.set(pre_deploy="echo migrated")
    before = stage.present()
    for _ in range(2):
        stage.deploy(stage.project.commit())
    patches = [method for method, _ in stage.emulator.faults.requests if method == "PATCH"]
    assert (stage.service.pre_deploy, len(patches)) == ("echo migrated", 1)
    stage.turn(before)
    assert stage.service.pre_deploy == "true"


def test_a_variable_of_a_linked_group_is_set_only_where_it_differs(stage: Stage) -> None:
    stage.emulator.add_env_group("shared", stage.service, COLOUR="blue", SIZE="big", TASTE="sweet")
    stage.emulator.add_env_group("more", stage.service, TASTE="sour")
    stage.emulator.add_env_group("others", NOT_LINKED="yes")
    stage.service.env = {"SIZE": "small"}
    stage.deploy(stage.project.commit(), COLOUR="blue", SIZE="big", TASTE="sweet", NOT_LINKED="yes")
    assert stage.service.env == {"SIZE": "big", "TASTE": "sweet", "NOT_LINKED": "yes"}
    stage.deploy(stage.project.commit(), COLOUR="red")
    assert stage.service.env["COLOUR"] == "red"


def test_variables_beyond_the_first_page_are_known(stage: Stage) -> None:
    values = {f"NUMBER_{number}": str(number) for number in range(205)}
    stage.service.env = {**values, "LAST": "old"}
    stage.deploy(stage.project.commit(), **values, LAST="new")
    puts = [path for method, path in stage.emulator.faults.requests if method == "PUT"]
    assert [path.rpartition("/")[2] for path in puts] == ["LAST"]


def test_secret_files_are_set_where_they_differ_and_all_others_stay(stage: Stage) -> None:
    stage.service.secret_files = {"by-hand.txt": "kept", "same.txt": "same"}
    stage.service.command = f"cat app.key; {stage.service.command}"
    stage.set(secret_files={"app.key": "APP_KEY", "same.txt": "SAME"})
    stage.secrets = {"APP_KEY": "s3cr3t-key\n", "SAME": "same"}
    stage.deploy(stage.project.commit())
    assert stage.service.secret_files == {"by-hand.txt": "kept", "same.txt": "same", "app.key": "s3cr3t-key\n"}
    assert [text for _, text in recent_logs(stage, 1)] == ["s3cr3t-key"], "the service reads it"
    files = [method for method, path in stage.emulator.faults.requests if "/secret-files/" in path]
    assert files == ["PUT"]


def test_a_secret_file_without_a_value_is_refused_before_anything_is_staged(stage: Stage) -> None:
    stage.set(secret_files={"app.key": "APP_KEY"})
    with pytest.raises(PlatformError, match="APP_KEY is not set"):
        stage.stage(stage.project.commit())


def test_going_back_does_not_stop_at_a_secret_file_that_has_lost_its_value(stage: Stage) -> None:
    stage.set(secret_files={"app.key": "APP_KEY"})
    stage.secrets = {"APP_KEY": "first"}
    first = stage.project.commit()
    stage.deploy(first)
    before = stage.present()
    stage.deploy(stage.project.commit())
    stage.secrets = {}
    stage.turn(before)
    assert first in stage.served
    assert stage.service.secret_files == {"app.key": "first"}


def recent_logs(stage: Stage, limit: int) -> list[tuple[str, str]]:
    return list(stage.run(lambda render: render.recent_logs(stage.on_render, limit)))


def test_recent_logs_are_what_the_service_printed_oldest_first(stage: Stage) -> None:
    stage.service.command = f"seq 250; {stage.service.command}"
    stage.emulator.build_error = "a line of a build"
    with pytest.raises(PlatformError):
        stage.deploy(stage.project.commit())
    stage.emulator.build_error = None
    stage.deploy(stage.project.commit())
    logs = recent_logs(stage, 230)
    assert [text for _, text in logs] == [str(number) for number in range(21, 251)]
    assert sorted(time for time, _ in logs) == [time for time, _ in logs]
    assert all(time.endswith("Z") for time, _ in logs)
    assert len(recent_logs(stage, 1000)) == 250


def test_logs_cannot_be_read_with_a_hook(stage: Stage) -> None:
    stage.on_render = Service("api", "render", {"hook": "HOOK", "url": stage.url})
    with pytest.raises(PlatformError, match="cannot be read with a deploy hook"):
        recent_logs(stage, 10)


@pytest.mark.parametrize("settings", [
    {"service": "srv-a1"}, {"service": "crn-a1", "job": "true"}, {"service": "srv-a1", "autoscaling": {"min": 2, "max": 2, "memory": 90}},
    {"hook": "HOOK", "url": "https://api.example.org"}, {"service": "srv-a1", "secret_files": {"app.key": "APP_KEY"}},
])  # fmt: skip
def test_settings_that_are_right(settings: dict[str, object]) -> None:
    assert RenderSettings.model_validate(settings).model_dump(exclude_none=True) == settings


@pytest.mark.parametrize(("settings", "told"), [
    ({"service": "dpg-a1"}, "should match pattern"),
    ({"service": "srv-a1", "autoscaling": {"min": 3, "max": 2, "cpu": 70}}, "`min` is above `max`"),
    ({"service": "srv-a1", "autoscaling": {"min": 1, "max": 2}}, "needed: `cpu`, `memory` or both"),
    ({"service": "srv-a1", "instances": 2, "autoscaling": {"min": 1, "max": 2, "cpu": 70}}, "neither a fixed number of `instances`"),
    ({"service": "srv-a1", "disk": "/data", "autoscaling": {"min": 1, "max": 2, "cpu": 70}}, "nor a `disk`"),
    ({"service": "srv-a1", "secret_files": {"../app.key": "APP_KEY"}}, "should match pattern"),
    ({"hook": "HOOK", "url": "https://api.example.org", "secret_files": {"app.key": "APP_KEY"}}, "nothing that takes a key"),
])  # fmt: skip
def test_settings_that_are_wrong_are_told(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        RenderSettings.model_validate(settings)
