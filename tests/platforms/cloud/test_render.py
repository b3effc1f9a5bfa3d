"""Render: the platform against the emulator, which Render's own client for Python can talk to, too."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from render.public_api import AuthenticatedClient
from render.public_api.api.deploys import cancel_deploy, create_deploy, list_deploys, rollback_deploy
from render.public_api.models import CreateDeployBody, Deploy, RollbackDeployBody

from abreast.core.errors import PlatformError
from abreast.core.model import Service, Version
from abreast.core.secrets import Secret
from abreast.platforms.cloud.api import Api, LostAnswerError
from abreast.platforms.interface import Move, Named, Order
from abreast.platforms.render.client import RENDER, Render
from abreast.platforms.render.platform import RenderPlatform
from abreast.testing.platforms.faults import Fault, Kind
from abreast.testing.platforms.render import TOKEN, RenderEmulator
from abreast.testing.platforms.render import Service as Emulated
from abreast.testing.platforms.server import Served
from project import APP, NEVER_HEALTHY, Project, get_text

T = TypeVar("T")
SERVICE = Service("api", "render", {"service": "srv-api"})
COMMAND = f"ABREAST_RELEASE=- ABREAST_COMMIT=$RENDER_GIT_COMMIT exec {sys.executable} -S app.py"


class Stage:
    """An emulator with one service, and a platform that talks to it."""

    def __init__(self, emulator: RenderEmulator, service: Emulated, url: str, project: Project) -> None:
        self.emulator, self.service, self.url, self.project = emulator, service, url, project
        self.told: list[str] = []

    def run(self, work: Callable[[RenderPlatform], Awaitable[T]], token: str = TOKEN) -> T:
        async def story() -> T:
            api = Api(RENDER, f"{self.url}/v1", Secret("T", token), pause=0.01)
            try:
                return await work(RenderPlatform(Render(api), pause=0.01))
            finally:
                await api.close()

        return asyncio.run(story())

    async def tell(self, service: str, text: str) -> None:
        assert service == "api"
        self.told.append(text)

    def stage(self, commit: str) -> Version:
        order = Order(f"api-{commit}", SERVICE, commit, Path(), "", None)
        return self.run(lambda render: render.stage(order, self.tell))

    def turn(self, version: Version) -> None:
        self.run(lambda render: render.turn([Move(SERVICE, version)], self.tell))

    def present(self) -> Version:
        found = self.run(lambda render: render.present(SERVICE))
        assert found
        return found

    def deploy(self, commit: str) -> Version:
        version = self.stage(commit)
        self.turn(version)
        return version

    @property
    def served(self) -> str:
        return get_text(f"{self.url}/r/api/")

    @property
    def statuses(self) -> list[str]:
        return [deploy.status for deploy in self.service.deploys]


@pytest.fixture
def stage(project: Project, tmp_path: Path) -> Iterator[Stage]:
    emulator = RenderEmulator(tmp_path)
    service = emulator.add_service("api", project.folder, COMMAND, "/health")
    with Served(emulator.app) as served:
        yield Stage(emulator, service, served.url, project)
    emulator.close()


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
    stage.emulator.forgotten = True
    stage.turn(before)
    assert first in stage.served
    assert [deploy.trigger for deploy in stage.service.deploys] == ["api", "api", "api"]


def test_a_build_that_fails_says_why_and_users_stay(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    stage.emulator.broken = "error: no such package: leftpad"
    with pytest.raises(PlatformError, match="build_failed") as raised:
        stage.deploy(second)
    assert "leftpad" in str(raised.value)
    assert first in stage.served


def test_one_that_never_gets_healthy_does_not_go_live(stage: Stage) -> None:
    first = stage.project.commit()
    stage.deploy(first)
    with pytest.raises(PlatformError, match="update_failed"):
        stage.deploy(stage.project.commit("Break", app_py=APP.replace("    return 200, {}\n", NEVER_HEALTHY)))
    assert first in stage.served


def test_going_back_cancels_what_is_under_way(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    stage.deploy(first)
    before = stage.present()
    stage.emulator.stuck = "build_in_progress"
    version = stage.stage(second)
    with pytest.raises(TimeoutError):
        stage.run(lambda render: asyncio.wait_for(render.turn([Move(SERVICE, version)], stage.tell), 1))
    stage.turn(before)
    assert stage.statuses == ["live", "canceled"]
    assert first in stage.served


def test_an_answer_that_names_nothing_is_found_by_listing(stage: Stage) -> None:
    stage.emulator.queued = True
    commit = stage.project.commit()
    stage.deploy(commit)
    assert commit in stage.served


def test_one_that_is_under_way_is_found_again_and_not_made_twice(stage: Stage) -> None:
    commit = stage.project.commit()
    stage.emulator.stuck = "build_in_progress"
    version = stage.stage(commit)
    with pytest.raises(TimeoutError):
        stage.run(lambda render: asyncio.wait_for(render.turn([Move(SERVICE, version)], stage.tell), 1))
    stage.emulator.stuck = None
    stage.turn(version)
    assert stage.statuses == ["live"]


def test_a_create_whose_answer_is_lost_is_found(stage: Stage) -> None:
    stage.emulator.faults.planned = [Fault("POST", "/deploys$", Kind.LOST)]
    stage.deploy(stage.project.commit())
    assert stage.statuses == ["live"]


def test_a_create_that_did_not_arrive_is_sent_again_by_whoever_repeats(stage: Stage) -> None:
    stage.emulator.faults.planned = [Fault("POST", "/deploys$", Kind.DROPPED)]
    version = stage.stage(stage.project.commit())
    with pytest.raises(LostAnswerError, match="Render: POST /services/srv-api/deploys"):
        stage.turn(version)
    stage.turn(version)
    assert stage.statuses == ["live"]


def test_variables_alone_are_deployed_also_after_a_cut(stage: Stage) -> None:
    commit = stage.project.commit()
    stage.deploy(commit)
    before, version = stage.present(), stage.stage(commit)
    move = Move(SERVICE, version, {"COLOUR": "blue"}, before=before)
    stage.emulator.faults.planned = [Fault("POST", "/deploys$", Kind.DROPPED)]
    with pytest.raises(LostAnswerError):
        stage.run(lambda render: render.turn([move], stage.tell))
    for _ in range(2):
        stage.run(lambda render: render.turn([move], stage.tell))
    assert stage.statuses == ["deactivated", "live"]
    for _ in range(2):
        stage.run(lambda render: render.turn([Move(SERVICE, before, {"COLOUR": "red"})], stage.tell))
    assert [deploy.trigger for deploy in stage.service.deploys] == ["api", "api", "rollback"]


def test_a_rate_limit_is_waited_for(stage: Stage) -> None:
    limited = Fault(".*", ".*", Kind.STATUS, times=4, status=429, headers={"Ratelimit-Reset": "0"})
    stage.emulator.faults.planned = [limited]
    stage.deploy(stage.project.commit())
    assert limited.times == 0


def test_a_wrong_key_is_named_by_its_variable_only(stage: Stage) -> None:
    with pytest.raises(PlatformError, match="token is refused") as raised:
        stage.run(lambda render: render.present(SERVICE), "wrong")
    assert "RENDER_API_KEY" in str(raised.value)
    assert "wrong" not in str(raised.value)


def test_another_version_than_ours_is_seen(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    mine = stage.deploy(first)
    named = Named(SERVICE, mine.id, mine.handle)
    assert stage.run(lambda render: render.look([named]))[mine.id].present
    stage.deploy(second)
    seen = stage.run(lambda render: render.look([named]))[mine.id]
    assert (seen.present, second[:7] in seen.exit) == (False, True)


def test_a_disk_is_told(stage: Stage) -> None:
    stage.service.disk = True
    stage.stage(stage.project.commit())
    assert any("disk" in text for text in stage.told)


def test_the_client_that_others_wrote_works_against_the_emulator(stage: Stage) -> None:
    first, second = stage.project.commit(), stage.project.commit()
    with AuthenticatedClient(base_url=f"{stage.url}/v1", token=TOKEN) as client:
        for commit in (first, second):
            made = create_deploy.sync("srv-api", client=client, body=CreateDeployBody(commit_id=commit))
            assert isinstance(made, Deploy)
            for _ in range(4):
                list_deploys.sync("srv-api", client=client)
        listed = list_deploys.sync("srv-api", client=client)
        assert isinstance(listed, list)
        deploys = [one.deploy for one in listed if isinstance(one.deploy, Deploy)]
        assert [deploy.to_dict()["commit"]["id"] for deploy in deploys] == [second, first]
        old = deploys[1]
        back = rollback_deploy.sync("srv-api", client=client, body=RollbackDeployBody(deploy_id=old.id))
        assert isinstance(back, Deploy)
        stopped = cancel_deploy.sync("srv-api", back.id, client=client)
        assert isinstance(stopped, Deploy)
        assert stopped.status == "canceled"
    assert second in stage.served
