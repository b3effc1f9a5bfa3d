"""Render: the platform against the emulator."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from abreast.core.errors import PlatformError
from abreast.core.model import Build, HealthSettings, Service, Version
from abreast.core.secrets import Secret
from abreast.core.strategy import Strategy
from abreast.platforms.interface import TrafficMove, VersionRef
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.platform import RenderPlatform
from abreast.provider_api.api_client import ApiClient, UnknownOutcomeError
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.render import HOOK_KEY, TOKEN
from render_stage import Stage, render_stage
from sample_project import APP_SOURCE, NEVER_HEALTHY, SampleProject

SERVICE = Service("api", "render", {"service": "srv-api"})


@pytest.fixture
def stage(project: SampleProject, tmp_path: Path) -> Iterator[Stage]:
    with render_stage(project, tmp_path) as found:
        yield found


def test_a_commit_goes_live_in_the_turn_and_the_one_before_comes_back(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    before = stage.present()
    version = stage.stage(second)
    assert first in stage.served
    stage.turn(version)
    stage.turn(version)
    assert second in stage.served
    stage.turn(before)
    assert first in stage.served
    assert [deploy.trigger for deploy in stage.service.deploys] == ["api", "api", "rollback"]
    assert stage.statuses == ["deactivated", "deactivated", "live"]
    assert stage.service.auto_deploy == "no"
    assert any("update_in_progress" in text for text in stage.told)


def test_a_build_that_is_gone_is_made_again(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    before = stage.present()
    stage.deploy(second)
    stage.emulator.builds_expired = True
    stage.turn(before)
    assert first in stage.served
    assert [deploy.trigger for deploy in stage.service.deploys] == ["api", "api", "api"]


def test_a_build_that_fails_says_why_and_users_stay(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    stage.emulator.build_error = "error: no such package: leftpad"
    with pytest.raises(PlatformError, match="build_failed") as raised:
        stage.deploy(second)
    assert "leftpad" in str(raised.value)
    assert first in stage.served


@pytest.mark.exhaustive
def test_one_that_never_gets_healthy_does_not_go_live(stage: Stage) -> None:
    first = stage.project.commit()
    stage.deploy(first)
    with pytest.raises(PlatformError, match="update_failed"):
        stage.deploy(stage.project.commit("Break", app_py=APP_SOURCE.replace("    return 200, {}\n", NEVER_HEALTHY)))
    assert first in stage.served


def test_what_is_cancelled_while_it_starts_does_not_go_live(stage: Stage) -> None:
    first = stage.project.commit()
    stage.deploy(first)
    two = stage.stage(stage.project.commit(app_py=f"import time\ntime.sleep(2)\n{APP_SOURCE}"))

    async def cancelled(render: RenderPlatform) -> None:
        turning = asyncio.create_task(render.switch_traffic([TrafficMove(SERVICE, two)], stage.tell))
        while stage.statuses[-1] != "update_in_progress":  # noqa: ASYNC110 (another thread sets it)
            await asyncio.sleep(0.01)
        api = ApiClient(RENDER, f"{stage.url}/v1", Secret("T", TOKEN), retry_delay=0.01)
        await RenderClient(api).cancel_deploy("srv-api", stage.service.deploys[-1].id)
        await api.close()
        with pytest.raises(PlatformError, match="canceled"):
            await turning

    stage.run(cancelled)
    assert stage.statuses == ["live", "canceled"]
    assert first in stage.served


def test_going_back_cancels_what_is_under_way(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    before = stage.present()
    stage.emulator.stuck_state = "build_in_progress"
    version = stage.stage(second)
    with pytest.raises(TimeoutError):
        stage.run(
            lambda render: asyncio.wait_for(render.switch_traffic([TrafficMove(SERVICE, version)], stage.tell), 1)
        )
    stage.turn(before)
    assert stage.statuses == ["live", "canceled"]
    assert first in stage.served


def test_an_answer_that_names_nothing_is_found_by_listing(stage: Stage) -> None:
    stage.emulator.queues_deploys = True
    commit = stage.project.commit()
    stage.deploy(commit)
    assert commit in stage.served


def test_one_that_is_under_way_is_found_again_and_not_made_twice(stage: Stage) -> None:
    commit = stage.project.commit()
    stage.emulator.stuck_state = "build_in_progress"
    version = stage.stage(commit)
    with pytest.raises(TimeoutError):
        stage.run(
            lambda render: asyncio.wait_for(render.switch_traffic([TrafficMove(SERVICE, version)], stage.tell), 1)
        )
    stage.emulator.stuck_state = None
    stage.turn(version)
    assert stage.statuses == ["live"]


def test_a_create_whose_answer_is_lost_is_found(stage: Stage) -> None:
    stage.emulator.faults.planned = [InjectedFault("POST", "/deploys$", FaultKind.RESPONSE_LOST)]
    stage.deploy(stage.project.commit())
    assert stage.statuses == ["live"]


def test_a_create_that_did_not_arrive_is_sent_again_by_whoever_repeats(stage: Stage) -> None:
    stage.emulator.faults.planned = [InjectedFault("POST", "/deploys$", FaultKind.REQUEST_DROPPED)]
    version = stage.stage(stage.project.commit())
    with pytest.raises(UnknownOutcomeError, match="Render: POST /services/srv-api/deploys"):
        stage.turn(version)
    stage.turn(version)
    assert stage.statuses == ["live"]


def test_variables_alone_are_deployed_also_after_a_cut(stage: Stage) -> None:
    commit = stage.project.commit()
    stage.deploy(commit)
    before, version = stage.present(), stage.stage(commit)
    move = TrafficMove(SERVICE, version, {"COLOUR": "blue"}, before=before)
    stage.emulator.faults.planned = [InjectedFault("POST", "/deploys$", FaultKind.REQUEST_DROPPED)]
    with pytest.raises(UnknownOutcomeError):
        stage.run(lambda render: render.switch_traffic([move], stage.tell))
    for _ in range(2):
        stage.run(lambda render: render.switch_traffic([move], stage.tell))
    assert stage.statuses == ["deactivated", "live"]
    for _ in range(2):
        stage.run(lambda render: render.switch_traffic([TrafficMove(SERVICE, before, {"COLOUR": "red"})], stage.tell))
    assert [deploy.trigger for deploy in stage.service.deploys] == ["api", "api", "rollback"]


def test_a_rate_limit_is_waited_for(stage: Stage) -> None:
    limited = InjectedFault(".*", ".*", FaultKind.STATUS, times=4, status=429, headers={"Ratelimit-Reset": "0"})
    stage.emulator.faults.planned = [limited]
    stage.deploy(stage.project.commit())
    assert limited.times == 0


def test_a_wrong_key_is_named_by_its_variable_only(stage: Stage) -> None:
    with pytest.raises(PlatformError, match="token is refused") as raised:
        stage.run(lambda render: render.live_version(SERVICE), "wrong")
    assert "RENDER_API_KEY" in str(raised.value)
    assert "wrong" not in str(raised.value)


def test_another_version_than_ours_is_seen(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    mine = stage.deploy(first)
    named = VersionRef(SERVICE, mine.id, mine.handle)
    assert stage.run(lambda render: render.observe([named]))[mine.id].present
    stage.deploy(second)
    seen = stage.run(lambda render: render.observe([named]))[mine.id]
    assert (seen.present, second[:7] in seen.exit_reason) == (False, True)


def test_a_disk_is_told(stage: Stage) -> None:
    stage.service.has_disk = True
    assert "with a disk: one instance" in stage.notes()[-1]
    assert stage.capabilities().strategies == (Strategy.RECREATE,)


IMAGE = "ghcr.io/acme/api:$ABREAST_COMMIT-$ABREAST_RELEASE"


def test_an_image_is_deployed_and_the_one_before_comes_back(stage: Stage) -> None:
    stage.set(image=IMAGE)
    commits = [stage.project.commit(), stage.project.commit()]
    stage.service.image_path = "ghcr.io/acme/api"
    stage.service.images = {f"ghcr.io/acme/api:{commit}-v7": commit for commit in commits}
    one = stage.deploy(commits[0])
    assert commits[0] in stage.served
    before = stage.run(lambda render: render.live_version(stage.on_render))
    assert before
    two = stage.deploy(commits[1])
    assert commits[1] in stage.served
    assert stage.run(lambda render: render.observe([VersionRef(stage.on_render, two.id, two.handle)]))[two.id].present
    stage.turn(before)
    assert commits[0] in stage.served
    assert one.handle.items() <= before.handle.items()
    assert [deploy.image for deploy in stage.service.deploys] == [*stage.service.images, *[*stage.service.images][:1]]


def test_an_image_that_is_not_there_leaves_users_where_they_are(stage: Stage) -> None:
    first = stage.project.commit()
    stage.set(image=IMAGE)
    stage.service.image_path = "ghcr.io/acme/api"
    stage.service.images = {f"ghcr.io/acme/api:{first}-v7": first}
    stage.deploy(first)
    with pytest.raises(PlatformError, match="no such image: ghcr"):
        stage.deploy(stage.project.commit())
    assert first in stage.served


def test_it_is_scaled_in_the_turn_and_again_on_the_way_back(stage: Stage) -> None:
    stage.set(instances=2)
    stage.deploy(stage.project.commit())
    before = stage.present()
    stage.set(instances=4)
    stage.deploy(stage.project.commit())
    assert stage.service.instances == 4
    stage.set(instances=2)
    stage.turn(before)
    assert stage.service.instances == 2
    scales = [path for _, path in stage.emulator.faults.requests if path.endswith("/scale")]
    assert len(scales) == 3


def test_what_runs_before_a_deploy(stage: Stage) -> None:
    first = stage.project.commit()
    stage.deploy(first)
    stage.set(pre_deploy="echo no such table: orders; exit 1")
    with pytest.raises(PlatformError, match="pre_deploy_failed") as raised:
        stage.deploy(stage.project.commit())
    assert "no such table: orders" in str(raised.value)
    assert first in stage.served
    stage.set(pre_deploy="echo migrated")
    second = stage.project.commit()
    stage.deploy(second)
    assert (second in stage.served, stage.service.log_texts[-1]) == (True, "migrated")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "fault",
    [
        None,
        InjectedFault("POST", "/jobs$", FaultKind.RESPONSE_LOST),
        InjectedFault("POST", "/jobs$", FaultKind.REQUEST_DROPPED),
    ],
)
def test_a_job_runs_once_in_the_new_build(stage: Stage, fault: InjectedFault | None) -> None:
    stage.set(job="echo at $RENDER_GIT_COMMIT")
    stage.emulator.faults.planned = [replace(fault)] if fault else []
    commit = stage.project.commit()
    version = stage.stage(commit)
    with suppress(UnknownOutcomeError):
        stage.turn(version)
    stage.turn(version)
    assert [job.status for job in stage.service.jobs] == ["succeeded"]
    assert stage.service.log_texts == [f"at {commit}"]
    stage.set()
    stage.deploy(stage.project.commit())
    before = stage.present()
    stage.set(job="echo at $RENDER_GIT_COMMIT")
    stage.deploy(stage.project.commit())
    stage.turn(before)
    assert len(stage.service.jobs) == 2, "none on the way back"


def test_a_job_that_fails_says_why(stage: Stage) -> None:
    stage.set(job="echo no such table; exit 1")
    with pytest.raises(PlatformError, match="is failed: echo no such table") as raised:
        stage.deploy(stage.project.commit())
    assert "\n    no such table" in str(raised.value)


def test_a_suspended_service_is_resumed_and_suspended_again_on_the_way_back(stage: Stage) -> None:
    stage.service.suspenders = ["user"]
    assert stage.run(lambda render: render.live_version(SERVICE)) is None
    first, _ = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    assert (first in stage.served, stage.service.suspenders) == (True, [])
    for _ in range(2):
        stage.run(lambda render: render.switch_traffic([TrafficMove(SERVICE, None)], stage.tell))
    assert (stage.served, stage.service.suspenders) == ("no running process", ["user"])
    assert sum(path.endswith("/suspend") for _, path in stage.emulator.faults.requests) == 1


def test_one_that_render_suspended_is_not_resumed(stage: Stage) -> None:
    stage.service.suspenders = ["billing"]
    with pytest.raises(PlatformError, match=r"suspended \(billing\)"):
        stage.run(lambda render: render.live_version(SERVICE))


HOOKED = Service(
    "api", "render", {"hook": "API_HOOK"}, run="x", health=HealthSettings("/health"), build=Build(timeout=1)
)


@pytest.mark.parametrize(("answer", "told"), [
    (InjectedFault("GET", "^/r/", FaultKind.STATUS, times=999, status=200, body="{}"), "reports no commit"),
    (InjectedFault("GET", "^/r/", FaultKind.STATUS, times=999, status=502), "does not serve"),
    (InjectedFault("POST", "^/deploy/", FaultKind.STATUS, times=9, status=404), "the deploy hook of api: status 404"),
    (InjectedFault("POST", "^/deploy/", FaultKind.REQUEST_DROPPED, times=9), "the deploy hook of api: RemoteProtocolError"),
])  # fmt: skip
def test_a_hook_that_does_not_work_is_told_without_its_address(stage: Stage, answer: InjectedFault, told: str) -> None:
    stage.emulator.faults.planned = [replace(answer)]
    service = replace(HOOKED, settings={"hook": "API_HOOK", "url": f"{stage.url}/r/api"})
    version = Version("api-1", "api", (), "", handle={"commit": stage.project.commit()})
    platform = RenderPlatform(RenderClient(ApiClient(RENDER, stage.url, None)), _hooks(stage), poll_interval=0.01)
    with pytest.raises(PlatformError, match=told) as raised:
        asyncio.run(platform.switch_traffic([TrafficMove(service, version)], stage.tell))
    assert HOOK_KEY not in str(raised.value)


def _hooks(stage: Stage) -> Callable[[str], Secret | None]:
    return {"API_HOOK": Secret("API_HOOK", f"{stage.url}/deploy/srv-api?key={HOOK_KEY}")}.get


def test_a_hook_that_is_not_set_is_said_before_anything_is_built(stage: Stage) -> None:
    with pytest.raises(PlatformError, match="API_HOOK is not set"):
        stage.run(lambda render: render.live_version(HOOKED))
