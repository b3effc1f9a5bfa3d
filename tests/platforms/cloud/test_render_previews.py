"""Previews on Render: services of their own, made like the base service, marked, and removed by that mark alone."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from abreast.core.errors import AbreastError, PlatformError
from abreast.core.model import DatabaseSettings, Service, ServiceType
from abreast.platforms.interface import HostsPreviews, StageRequest, TrafficMove, VersionRef
from abreast.platforms.render.platform import RenderPlatform
from abreast.platforms.render.settings import RenderSettings
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.testing.platform_contract import LiveVersionContract, PlatformContract
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.render import TOKEN, ServiceKind
from abreast.testing.platforms.render import Service as Emulated
from platform_harness import RenderHarness
from render_stage import Stage, render_stage
from sample_project import SampleProject, eventually, get_text

NAME = "api-staging-pr-17"


def preview_of(service: Service, **settings: Any) -> Service:  # noqa: ANN401 (settings of any type)
    base = str(service.settings.get("service") or service.settings["base"])
    made = RenderSettings(service=base, **settings).for_preview("staging-pr-17")
    return replace(service, settings=made.model_dump(exclude_none=True))


@pytest.fixture
def stage(request: pytest.FixtureRequest, project: SampleProject, tmp_path: Path) -> Iterator[Stage]:
    """A base service with users and settings of its own, and a stage for its preview."""
    kind = getattr(request, "param", ServiceKind.WEB)
    with render_stage(project, tmp_path, kind) as made:
        base = made.service
        base.env = {"DATABASE_URL": "postgres://production", "COLOUR": "blue"}
        base.shutdown_delay, base.plan, base.instances, base.branch = 7, "standard", 3, "staging"
        if kind is ServiceKind.WEB:
            base.ip_allow_list = [{"cidrBlock": "127.0.0.1/32", "description": "office"}]
            made.deploy(project.commit())
        made.on_render = preview_of(made.on_render)
        BASE.update(facts(base))
        yield made
        assert facts(base) == BASE, "the base service stays as it is"


BASE: dict[str, Any] = {}
"""What the base service of the running test is like."""


def configure(stage: Stage, **values: Any) -> None:  # noqa: ANN401 (of any type)
    """Change the base service, as a person may do."""
    for name, value in values.items():
        setattr(stage.service, name, value)
    BASE.update(deepcopy(values))


def facts(service: Emulated) -> dict[str, Any]:
    return {
        name: deepcopy(value)
        for name, value in vars(service).items()
        if name not in {"live_process", "log", "lines_read"}
    }


def preview(stage: Stage, name: str = NAME) -> Emulated:
    return next(service for service in stage.emulator.services.values() if service.name == name)


def remove(stage: Stage) -> None:
    stage.run(lambda render: render.remove_preview(stage.on_render, stage.tell))


def names(stage: Stage) -> list[str]:
    return [service.name for service in stage.emulator.services.values()]


class PreviewHarness(RenderHarness):
    """A preview, in place of its base."""

    service = preview_of(RenderHarness.service)

    def version_count(self) -> int:
        found = [service for service in self.emulator.services.values() if service.name == NAME]
        return sum(deploy.status != "canceled" for service in found for deploy in service.deploys)

    @property
    def public_url(self) -> str:
        return f"{self.url}/r/{NAME}/"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[PreviewHarness]:
    with ExitStack() as cleanup:
        yield PreviewHarness(tmp_path, cleanup)


class TestAPreview(PlatformContract, LiveVersionContract):
    """A preview's service keeps the contract."""


def test_a_preview_is_made_like_its_base_and_lives_beside_it(stage: Stage) -> None:
    assert isinstance(stage.run(_itself), HostsPreviews)
    assert stage.live() is None
    told = [one.what for one in stage.run(lambda render: render.diagnose(stage.on_render))]
    assert told == [f"{NAME} will be created like api (web service)"]
    first = stage.deploy(stage.project.commit(), COLOUR="red")
    made = preview(stage)
    assert (made.auto_deploy, made.plan, made.region, made.shutdown_delay, made.branch) == (
        "no",
        "standard",
        "frankfurt",
        7,
        "staging",
    )
    assert (made.command, made.health_path, made.ip_allow_list) == (
        stage.service.command,
        "/health",
        stage.service.ip_allow_list,
    )
    assert made.instances == 1
    assert made.env == {"ABREAST_PREVIEW": "staging-pr-17 of srv-api", "ABREAST_RELEASE": "v7", "COLOUR": "red"}
    assert first.url == f"{stage.url}/r/{NAME}"
    assert stage.present().handle["of"] in get_text(first.url)
    second = stage.deploy(stage.project.commit(), COLOUR="red")
    assert stage.observe(second).present
    assert second.handle["of"] in get_text(first.url)
    assert stage.run(lambda render: render.recent_logs(stage.on_render, 5)) is not None
    assert [deploy.status for deploy in made.deploys] == ["canceled", "deactivated", "live"]
    remove(stage)
    assert names(stage) == ["api"]
    assert f"render: deleted {NAME}" in stage.told
    remove(stage)
    assert stage.live() is None
    assert not stage.observe(second).present
    with pytest.raises(PlatformError, match="has no service of the preview staging-pr-17 of api"):
        stage.run(lambda render: render.recent_logs(stage.on_render, 5))
    stage.deploy(stage.project.commit())


async def _itself(platform: RenderPlatform) -> RenderPlatform:
    return platform


def test_the_plan_says_what_a_preview_costs_and_lacks(stage: Stage) -> None:
    stage.emulator.add_env_group("shared", stage.service, QUEUE="production", COLOUR="blue")
    configure(stage, secret_files={"app.key": "s3cret"})
    stage.on_render = replace(
        stage.on_render,
        env={"COLOUR": "red"},
        secrets={"KEY": "${KEY}"},
        database=DatabaseSettings("${DB}", "OTHER_URL"),
    )
    assert stage.run(_notes_before(stage)) == ("is a service of its own at Render, made like srv-api; Render bills it",)
    assert stage.notes() == (
        f"is a service of its own at Render, {NAME}: Render bills one instance of the plan standard as long as it is there",
        "goes live in the turn: Render has no candidates without users",
        "without variables that only api has, for it could write to what they lead to: DATABASE_URL, QUEUE",
        "without the secret files that only api has: app.key",
    )


def _notes_before(stage: Stage) -> Callable[[RenderPlatform], Awaitable[tuple[str, ...]]]:
    async def notes(render: RenderPlatform) -> tuple[str, ...]:
        return render.capabilities(stage.on_render).notes

    return notes


@pytest.mark.parametrize("stage", [ServiceKind.WORKER], indirect=True)
def test_a_worker_and_a_language(stage: Stage) -> None:
    build, run = "echo 'time.sleep(600)' > end.py", f"cat worker.py end.py | exec {sys.executable} -S"
    configure(stage, runtime="python", build_command=build, command=run, root_dir="jobs")
    source = "import os, time\nprint('at work with', os.environ.get('DATABASE_URL'), flush=True)\n"
    (stage.project.folder / "jobs").mkdir()
    (stage.project.folder / "jobs/worker.py").write_text(source)
    stage.on_render = replace(stage.on_render, type=ServiceType.WORKER)
    version = stage.deploy(stage.project.commit())
    made = preview(stage)
    assert (made.runtime, made.build_command, made.root_dir) == ("python", build, "jobs")
    assert stage.observe(version).present
    logs = stage.run(lambda render: render.recent_logs(stage.on_render, 5))
    assert [text for _, text in logs] == ["at work with None"]
    assert "does its work for real, beside api: give it a queue of its own by its variables" in stage.notes()
    remove(stage)
    assert names(stage) == ["api"]


@pytest.mark.parametrize("stage", [ServiceKind.CRON, ServiceKind.STATIC, ServiceKind.PRIVATE], indirect=True)
def test_every_type_of_service(stage: Stage) -> None:
    kind = stage.service.kind
    if kind is ServiceKind.STATIC:
        configure(stage, command="mkdir -p public && cp change.txt public/index.html", publish_path="public")
    stage.deploy(stage.project.commit())
    made = preview(stage)
    assert (made.kind, made.command, made.schedule if kind is ServiceKind.CRON else "") == (
        kind, stage.service.command, "0 3 * * *" if kind is ServiceKind.CRON else "",
    )  # fmt: skip
    said = " ".join(stage.notes())
    assert {
        ServiceKind.CRON: "runs from its next run on (0 3 * * *), and does its work for real",
        ServiceKind.STATIC: "without the headers and the redirects that api has at Render",
        ServiceKind.PRIVATE: "goes live in the turn",
    }[kind] in said
    remove(stage)
    assert names(stage) == ["api"]


def test_an_image(stage: Stage) -> None:
    commit = stage.project.commit()
    configure(stage, image_path="ghcr.io/acme/api", images={"ghcr.io/acme/api:v7": commit})
    stage.on_render = preview_of(stage.on_render, image="ghcr.io/acme/api:$ABREAST_RELEASE")
    version = stage.deploy(commit)
    assert preview(stage).image_path == "ghcr.io/acme/api"
    assert commit in get_text(version.url)
    remove(stage)


def test_what_the_base_has_and_a_preview_has_not() -> None:
    base = RenderSettings.model_validate({
        "service": "srv-api", "autoscaling": {"min": 2, "max": 3, "cpu": 70}, "pre_deploy": "migrate", "job": "x",
        "secret_files": {"app.key": "APP_KEY"},
    })  # fmt: skip
    assert base.for_preview("staging-pr-17").model_dump(exclude_none=True) == {
        "base": "srv-api", "preview": "staging-pr-17", "pre_deploy": "migrate", "job": "x",
        "secret_files": {"app.key": "APP_KEY"},
    }  # fmt: skip
    with pytest.raises(ValueError, match="a service with a deploy hook has no previews"):
        RenderSettings(hook="HOOK", url="https://api.example.org").for_preview("staging-pr-17")
    with pytest.raises(ValidationError, match="preview"):
        RenderSettings.model_validate({"service": "srv-api", "preview": "x"})


def test_secret_files_are_there_from_the_first_build_on(stage: Stage) -> None:
    stage.on_render = preview_of(stage.on_render, secret_files={"app.key": "APP_KEY"})
    with pytest.raises(PlatformError, match="APP_KEY is not set"):
        stage.stage(stage.project.commit())
    assert names(stage) == ["api"]
    stage.secrets["APP_KEY"] = "s3cret"
    stage.stage(stage.project.commit())
    assert preview(stage).secret_files == {"app.key": "s3cret"}


@pytest.mark.parametrize("mark", [None, "staging-pr-17 of srv-other", "staging-pr-18 of srv-api"])
def test_a_service_that_abreast_did_not_create_stays(stage: Stage, mark: str | None) -> None:
    foreign = stage.emulator.add_service(NAME, stage.project.folder, "exec sleep 600")
    foreign.env = {"ABREAST_PREVIEW": mark} if mark else {}
    before = facts(foreign)
    for verb in (remove, lambda found: found.stage("0" * 40), Stage.live, Stage.notes):
        with pytest.raises(PlatformError, match=f"{NAME} .srv-{NAME}. was not created by abreast for this preview"):
            verb(stage)
    assert facts(foreign) == before


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_creation_whose_answer_is_lost_is_not_repeated(stage: Stage, kind: FaultKind) -> None:
    stage.emulator.faults.planned = [InjectedFault("POST", "/v1/services$", kind)]
    with suppress(UnknownOutcomeError):
        stage.stage(stage.project.commit())
    version = stage.deploy(stage.project.commit())
    assert names(stage) == ["api", NAME]
    assert version.handle["of"] in get_text(version.url)


@pytest.mark.parametrize("request_number", range(10))
def test_a_stage_that_is_killed_is_gone_on_with_or_removed(stage: Stage, request_number: int) -> None:
    """The mark is part of the creation: at no moment is there a service that abreast made and does not know again."""
    commit = stage.project.commit()
    stage.emulator.faults.planned = [
        InjectedFault(".*", "/v1/", FaultKind.STATUS, times=99, skip=request_number, status=503)
    ]
    with suppress(AbreastError):
        stage.stage(commit)
    stage.emulator.faults.planned = []
    assert all(one.env.get("ABREAST_PREVIEW") for one in stage.emulator.services.values() if one is not stage.service)
    version = stage.deploy(commit)
    assert names(stage) == ["api", NAME]
    assert commit in get_text(version.url)
    stage.emulator.faults.planned = [InjectedFault("DELETE", "/v1/services/", FaultKind.RESPONSE_LOST, times=3)]
    with suppress(AbreastError):
        remove(stage)
    stage.emulator.faults.planned = []
    remove(stage)
    assert names(stage) == ["api"]


@pytest.mark.parametrize("name", ["shop-api", "a-very-long-name-of-a-service-that-does-not-fit-there"])
def test_a_preview_of_a_base_that_got_another_name_is_removed(stage: Stage, name: str) -> None:
    stage.deploy(stage.project.commit())
    configure(stage, name=name)
    stage.deploy(stage.project.commit())
    stage.emulator.add_service(f"other-{NAME}", stage.project.folder, "exec sleep 600")
    remove(stage)
    assert names(stage) == [name, f"other-{NAME}"]


def test_a_preview_of_a_base_that_is_gone_is_removed(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    base = stage.emulator.services.pop(stage.service.id)
    remove(stage)
    assert names(stage) == []
    stage.emulator.services[base.id] = base


def test_a_first_version_that_fails_is_taken_off(stage: Stage) -> None:
    stage.deploy(stage.project.commit())
    stage.run(lambda render: render.switch_traffic([TrafficMove(stage.on_render, None)], stage.tell))
    assert preview(stage).is_suspended
    version = stage.deploy(stage.project.commit())
    assert version.handle["of"] in get_text(version.url)


def test_nothing_is_switched_where_nothing_is(stage: Stage) -> None:
    stage.run(lambda render: render.switch_traffic([TrafficMove(stage.on_render, None)], stage.tell))
    version = stage.deploy(stage.project.commit())
    remove(stage)
    with pytest.raises(PlatformError, match="has no service of the preview"):
        stage.turn(version)
    stage.run(lambda render: render.retire([VersionRef(stage.on_render, version.id, version.handle)], 0))


def test_render_refuses_a_preview_that_it_cannot_create(stage: Stage) -> None:
    stage.asks_wrongly = True
    configure(stage, plan="custom")
    with pytest.raises(PlatformError, match="a web_service has no plan custom"):
        stage.stage(stage.project.commit())


def test_a_request_of_a_stage_names_the_release(stage: Stage) -> None:
    """The first build, which Render starts by itself, is cancelled also if it is of the commit that is deployed."""
    commit = stage.project.commit()
    order = StageRequest("api-x", stage.on_render, commit, Path(), "", None, {"ABREAST_RELEASE": "v8"})
    stage.run(lambda render: render.stage(order, stage.tell))
    assert [deploy.status for deploy in preview(stage).deploys] == ["canceled"]
    assert preview(stage).env["ABREAST_RELEASE"] == "v8"


def test_a_first_build_that_went_live_before_it_was_cancelled_is_replaced(stage: Stage) -> None:
    """It is of the same commit: what others made live is no version of a deployment, also where nothing differs."""
    commit = stage.project.commit()
    stage.emulator.faults.planned = [InjectedFault("GET", "/deploys$", FaultKind.STATUS, times=3, status=503)]
    with pytest.raises(AbreastError, match="503"):
        stage.stage(commit)
    made = preview(stage)
    (first,) = made.deploys
    address = f"{stage.url}/v1/services/{made.id}/deploys/{first.id}"
    eventually(lambda: httpx2.get(address, headers={"Authorization": f"Bearer {TOKEN}"}).json()["status"] == "live")
    before = stage.present()
    version = stage.stage(commit)
    move = TrafficMove(stage.on_render, version, {"COLOUR": "red"}, before=before)
    stage.run(lambda render: render.switch_traffic([move], stage.tell))
    assert made.env["COLOUR"] == "red"
    assert [deploy.status for deploy in made.deploys] == ["deactivated", "live"]
