"""Previews at Netlify: branch deploys of the base's site, which other machines go on with and remove."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from abreast.core.errors import AbreastError, PlatformError
from abreast.core.model import Service, Version
from abreast.platforms.interface import Capabilities, HostsPreviews, TrafficMove, VersionRef
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.platforms.netlify.settings import NetlifySettings
from abreast.platforms.preview_names import preview_label
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.testing.platform_contract import LiveVersionContract, PlatformContract
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from netlify_api import netlify_api
from netlify_cli import deploy_with_cli
from netlify_stage import SERVICE, Stage, netlify_stage
from platform_harness import NetlifyHarness
from sample_project import get_text

BASE = NetlifySettings(site="shop", branch="next", functions="none")


def preview_of(name: str, base: NetlifySettings = BASE) -> Service:
    return replace(SERVICE, settings=base.for_preview(name).model_dump(exclude_none=True))


PREVIEW = preview_of("staging-pr-17")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A site that has users, and a stage for its preview."""
    with netlify_stage(tmp_path) as made:
        made.turn(made.stage("web-1"))
        made.service = PREVIEW
        yield made
        assert made.served == "web-1", "the site's own users notice nothing"


def preview_url(stage: Stage) -> str:
    return f"{stage.url}/d/staging-pr-17--shop"


def deploy(stage: Stage, version: str, **files: str) -> Version:
    staged = stage.stage(version, **files)
    stage.turn(staged)
    return staged


def remove(stage: Stage) -> None:
    stage.run(lambda netlify: netlify.remove_preview(stage.service, stage.tell))


def go_to_another_machine(stage: Stage) -> None:
    shutil.rmtree(stage.folder / "home")


def titles(stage: Stage) -> set[str]:
    return {made.title for made in stage.emulator.deploys.values()}


class PreviewHarness(NetlifyHarness):
    """A preview, in place of the site."""

    service = PREVIEW

    @property
    def public_url(self) -> str:
        return f"{self.url}/d/staging-pr-17--shop/"

    def version_count(self) -> int:
        return sum(made.draft for made in self.emulator.deploys.values() if " on " not in made.title)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[PreviewHarness]:
    with ExitStack() as cleanup:
        yield PreviewHarness(tmp_path, cleanup)


class TestAPreview(PlatformContract, LiveVersionContract):
    """A preview's service keeps the contract."""


def test_the_settings_of_a_preview_are_the_bases_with_a_branch_of_its_own() -> None:
    assert PREVIEW.settings == {
        "site": "shop", "branch": "staging-pr-17", "functions": "none", "preview": "staging-pr-17",
    }  # fmt: skip
    assert NetlifySettings(site="shop").for_preview("staging-pr-17").branch == "staging-pr-17"
    with pytest.raises(ValueError, match="preview"):
        NetlifySettings.model_validate({"site": "shop", "preview": "x"})


def test_long_names_are_cut_and_stay_apart() -> None:
    names = [f"an-environment-with-a-long-name-pr-{number}" for number in range(500)]
    branches = [NetlifySettings(site="s" * 37).for_preview(name).branch or "" for name in names]
    assert len(set(branches)) == 500
    assert branches[0] == NetlifySettings(site="s" * 37).for_preview(names[0]).branch
    assert all(len(f"{branch}--{'s' * 37}") <= 63 for branch in branches)
    assert preview_label("staging-pr-17", 13) == "staging-pr-17"
    assert preview_label("a--b-pr-1", 24) != preview_label("a-b-pr-1", 24), "what is written otherwise is another"


def test_a_preview_lives_beside_its_site(stage: Stage) -> None:
    assert isinstance(stage.run(_itself), HostsPreviews)
    assert stage.run(lambda netlify: netlify.live_version(PREVIEW)) is None
    assert stage.run(lambda netlify: netlify.inspect_release(PREVIEW, None)) == []
    assert stage.run(lambda netlify: netlify.diagnose(PREVIEW))
    stage.env = {"COLOUR": "red", "ABREAST_RELEASE": "v1"}
    first = deploy(stage, "web-2")
    assert (first.url, get_text(first.url)) == (preview_url(stage), "web-2")
    deploy(stage, "web-3")
    assert get_text(first.url) == "web-3"
    assert "COLOUR" in stage.emulator.sites["site-shop"].env
    remove(stage)
    assert get_text(first.url) == "Not Found"
    assert (titles(stage), stage.emulator.sites["site-shop"].env) == ({"web-1"}, {})
    assert "netlify: deleted the deploys of the branch staging-pr-17: 2" in stage.told
    remove(stage)
    assert get_text(deploy(stage, "web-4").url) == "web-4"


async def _itself(platform: NetlifyPlatform) -> NetlifyPlatform:
    return platform


def test_another_machine_goes_on_and_leads_back(stage: Stage) -> None:
    deploy(stage, "web-2", assets__app_js="two")
    go_to_another_machine(stage)
    live = stage.run(lambda netlify: netlify.live_version(PREVIEW))
    assert live
    assert live.id == "web-2"
    second = deploy(stage, "web-3")
    assert get_text(second.url) == "web-3"
    go_to_another_machine(stage)
    stage.turn(live)
    assert get_text(second.url) == "web-2"
    assert get_text(f"{second.url}/assets/app.js") == "two"
    assert get_text(f"{second.url}/.well-known/abreast-deploy.json") == "Not Found", "the list is in the draft only"


@pytest.mark.parametrize("rule", ["/* /index.html 200", "/* /index.html 200!"])
def test_a_site_that_answers_everything(stage: Stage, rule: str) -> None:
    """A rule can hide the list of files: then nothing is known of a version that another machine deployed."""
    order = stage.order("web-2")
    (order.artifact_path / "_redirects").write_text(rule)
    stage.turn(stage.run(lambda netlify: netlify.stage(order, stage.tell)))
    go_to_another_machine(stage)
    live = stage.run(lambda netlify: netlify.live_version(PREVIEW))
    assert (live is None) == rule.endswith("!")
    said = [one.what for one in stage.run(lambda netlify: netlify.inspect_release(PREVIEW, None))]
    served = stage.emulator.sites["site-shop"].branch_deploys["staging-pr-17"]
    warning = f"nothing lists the files of the deploy {served}, which the branch staging-pr-17 serves"
    assert said == ([] if live else [f"{warning}: a deployment that fails takes the preview off"])


def test_a_first_version_that_fails_is_taken_off(stage: Stage) -> None:
    first = deploy(stage, "web-2")
    assert stage.run(_capabilities).can_unpublish
    stage.run(lambda netlify: netlify.switch_traffic([TrafficMove(PREVIEW, None)], stage.tell))
    stage.run(lambda netlify: netlify.retire([VersionRef(PREVIEW, first.id, first.handle)], 0))
    assert get_text(first.url) == "Not Found"
    assert titles(stage) == {"web-1"}


async def _capabilities(platform: NetlifyPlatform) -> Capabilities:
    return platform.capabilities(PREVIEW)


def test_what_others_deployed_to_the_branch_stays(stage: Stage) -> None:
    deploy(stage, "web-2")
    with netlify_api(stage.url, TOKEN) as api:
        made = api.call(
            "createSiteDeploy", site_id="site-shop", body={"files": {}, "branch": "staging-pr-17"}, title="by hand"
        )
    before = titles(stage)
    with pytest.raises(
        PlatformError, match=f"{made['id']} .by hand. of the branch staging-pr-17 of shop was not made"
    ) as raised:
        remove(stage)
    assert "delete the deploys of that branch" in raised.value.next
    assert titles(stage) == before


def test_a_service_that_got_another_name_is_removed_with_the_preview(stage: Stage) -> None:
    deploy(stage, "web-01M8E2HQRPNTM6Y76HBMENM3KT")
    stage.service = replace(PREVIEW, name="site")
    deploy(stage, "site-01M8E2HQRPNTM6Y76HBMENM3KV")
    for service in (PREVIEW, stage.service):
        stage.service = service
        remove(stage)
    assert titles(stage) == {"web-1"}


def test_what_the_sites_users_get_stays(stage: Stage) -> None:
    deploy(stage, "web-2")
    branch_deploy = stage.emulator.sites["site-shop"].branch_deploys["staging-pr-17"]
    with netlify_api(stage.url, TOKEN) as api:
        api.call("restoreSiteDeploy", site_id="site-shop", deploy_id=branch_deploy)
        with pytest.raises(PlatformError, match="is what the site's own users get"):
            remove(stage)
        assert stage.served == "web-2"
        web_1 = next(made.id for made in stage.emulator.deploys.values() if made.title == "web-1")
        api.call("restoreSiteDeploy", site_id="site-shop", deploy_id=web_1)
    remove(stage)
    assert titles(stage) == {"web-1"}


def test_variables_of_other_contexts_stay(stage: Stage) -> None:
    stage.service, stage.env = SERVICE, {"COLOUR": "blue"}
    deploy(stage, "web-1b")
    stage.service, stage.env = PREVIEW, {"COLOUR": "red", "KEY": "s3cret"}
    stage.secrets = frozenset({"KEY"})
    deploy(stage, "web-2")
    other = preview_of("staging-pr-18")
    stage.service = other
    deploy(stage, "web-3")
    stage.service = PREVIEW
    remove(stage)
    env = stage.emulator.sites["site-shop"].env
    contexts = {
        name: [value.get("context_parameter", value["context"]) for value in env[name]["values"]] for name in env
    }
    assert contexts == {"COLOUR": ["production", "staging-pr-18"], "KEY": ["staging-pr-18"]}
    assert get_text(f"{stage.url}/d/staging-pr-18--shop") == "web-3"
    stage.service = SERVICE
    stage.turn(stage.stage("web-1"))


@pytest.mark.parametrize("request_number", range(8))
def test_a_removal_that_is_cut_off_is_finished_by_the_next(stage: Stage, request_number: int) -> None:
    stage.env = {"COLOUR": "red"}
    deploy(stage, "web-2")
    deploy(stage, "web-3")
    stage.emulator.faults.planned = [
        InjectedFault(".*", "/api/", FaultKind.STATUS, times=3, skip=request_number, status=503)
    ]
    with pytest.raises(AbreastError, match="503"):
        remove(stage)
    stage.emulator.faults.planned = []
    remove(stage)
    assert titles(stage) == {"web-1"}
    assert stage.emulator.sites["site-shop"].env == {}


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_deploy_that_is_cut_off_can_be_removed(stage: Stage, kind: FaultKind) -> None:
    first = stage.stage("web-2")
    stage.emulator.faults.planned = [InjectedFault("POST", "/deploys$", kind)]
    with suppress(UnknownOutcomeError):
        stage.turn(first)
    remove(stage)
    assert get_text(preview_url(stage)) == "Not Found"
    assert not any(" on " in title for title in titles(stage))


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_a_branch_deploy_of_netlifys_own_command_line_is_served_and_gone(tmp_path: Path) -> None:
    """The emulator deletes as its clients see it: the branch is not served, nor listed, any more."""
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/index.html").write_text("by the command line")
    with ThreadedServer(emulator.app) as server, netlify_api(server.url, TOKEN) as api:
        run = deploy_with_cli(server.url, TOKEN, tmp_path / "out", "--alias", "staging-pr-17")
        assert run.returncode == 0, run.stderr
        (listed,) = api.call("listSiteDeployedBranches", site_id="site-shop")
        assert get_text(listed["url"]) == "by the command line"
        api.call("deleteDeploy", deploy_id=listed["deploy_id"])
        assert get_text(listed["url"]) == "Not Found"
        assert api.call("listSiteDeployedBranches", site_id="site-shop") == []
