"""Previews at Hugging Face: Spaces of their own, created with a mark, and deleted by that mark alone."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from pydantic import ValidationError

from abreast.core.errors import AbreastError, PlatformError
from abreast.core.model import DatabaseSettings, Service
from abreast.platforms.huggingface.platform import HuggingFacePlatform
from abreast.platforms.huggingface.settings import HuggingFaceSettings
from abreast.platforms.interface import HostsPreviews, Platform, ReportsLogs, SourceFiles, TrafficMove, VersionRef
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.testing.platform_contract import LiveVersionContract, PlatformContract
from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from abreast.testing.platforms.huggingface import READ_TOKEN, TOKEN
from abreast.testing.platforms.huggingface.space_runtime import Space, Variable
from platform_harness import SpaceHarness
from sample_project import get_text

NAME = "owner/api-staging-pr-17"
BASE = HuggingFaceSettings(space="owner/api", standby="owner/api-b", hardware="t4-small")


def preview_of(name: str, base: HuggingFaceSettings = BASE) -> Service:
    return replace(SpaceHarness.service, settings=base.for_preview(name).model_dump(exclude_none=True))


class PreviewHarness(SpaceHarness):
    """A preview, in place of its base."""

    service = preview_of("staging-pr-17")
    env: ClassVar[Mapping[str, str]] = {"ABREAST_RELEASE": "-", "COLOUR": "red"}

    def version_count(self) -> int:
        space = self.emulator.spaces.get(NAME)
        if space is None:
            return 0
        titles = [self.emulator.repository.commits[id_].title for id_ in space.branches["main"]]
        return len(space.branches) - 1 + len(set(titles) - {"initial commit", *space.branches})

    @property
    def public_url(self) -> str:
        return f"{self.url}/h/{NAME}/"

    def remove(self) -> None:
        async def work(platform: Platform) -> None:
            assert isinstance(platform, HostsPreviews)
            await platform.remove_preview(self.service, self.report)

        self.run(work)

    def notes(self) -> tuple[str, ...]:
        async def work(platform: Platform) -> tuple[str, ...]:
            assert isinstance(platform, HuggingFacePlatform)
            await platform.live_version(self.service)
            return platform.capabilities(self.service).notes

        return self.run(work)

    def hub(self) -> HfApi:
        return HfApi(endpoint=self.url, token=TOKEN)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[PreviewHarness]:
    with ExitStack() as cleanup:
        yield PreviewHarness(tmp_path, cleanup)


@pytest.fixture
def preview(harness: PreviewHarness) -> Iterator[PreviewHarness]:
    """A preview of a Space that has variables, secrets and a card of its own."""
    base = harness.emulator.spaces["owner/api"]
    base.variables, base.secrets = {"COLOUR": Variable("blue"), "QUEUE": Variable("x")}, {"DATABASE_URL": Variable("s")}
    base.hardware = "t4-small"
    BEFORE.update(facts(base))
    yield harness
    assert facts(base) == BEFORE, "the base Space stays as it is"


BEFORE: dict[str, Any] = {}
"""What the base Space of the running test is like."""


def configure(harness: PreviewHarness, **values: Any) -> None:  # noqa: ANN401 (of any type)
    """Change the base Space, as a person may do."""
    for name, value in values.items():
        setattr(harness.emulator.spaces["owner/api"], name, value)
    BEFORE.update(deepcopy(values))


def facts(space: Space) -> dict[str, Any]:
    return {name: deepcopy(value) for name, value in vars(space).items()}


class TestAPreview(PlatformContract, LiveVersionContract):
    """A preview's service keeps the contract."""


def test_the_settings_of_a_preview() -> None:
    assert preview_of("staging-pr-17").settings == {
        "space": NAME, "factory": False, "base": "owner/api", "preview": "staging-pr-17",
    }  # fmt: skip
    with pytest.raises(ValidationError, match="preview"):
        HuggingFaceSettings.model_validate({"space": "owner/api", "preview": "x"})


def test_long_names_are_cut_and_stay_apart() -> None:
    base = HuggingFaceSettings(space=f"{'o' * 20}/{'n' * 40}")
    names = [str(base.for_preview(f"a-name-that-is-long-pr-{number}").space) for number in range(300)]
    assert len(set(names)) == 300
    assert all(len(name) <= 63 for name in names), "the first label of the host"
    assert names[0] == base.for_preview("a-name-that-is-long-pr-0").space
    assert "--" not in HuggingFaceSettings(space="owner/api").for_preview("a--b-pr-1").space


def test_a_preview_is_created_like_its_base_and_lives_beside_it(preview: PreviewHarness) -> None:
    assert preview.live_version() is None
    first = preview.deploy("one")
    assert (first.url, preview.served_commit()) == (preview.public_url.rstrip("/"), preview.commit("one"))
    made = preview.hub().space_info(NAME)
    assert (made.sdk, made.private) == ("docker", False)
    assert str(preview.hub().get_space_runtime(NAME).hardware) == "cpu-basic", "a preview costs nothing"
    variables = {name: one.value for name, one in preview.hub().get_space_variables(NAME).items()}
    assert variables == {"ABREAST_PREVIEW": "staging-pr-17 of owner/api", "COLOUR": "red"}
    assert preview.hub().get_space_secrets(NAME) == {}
    second = preview.deploy("two")
    assert preview.is_present(second)
    assert preview.served_commit() == preview.commit("two")
    preview.retire("one")
    preview.remove()
    assert f"huggingface: deleted the Space {NAME}" in preview.reports
    with pytest.raises(RepositoryNotFoundError):
        preview.hub().space_info(NAME)
    preview.remove()
    preview.retire("two")
    assert preview.live_version() is None
    assert not preview.is_present(second)
    preview.deploy("two")


def test_what_the_plan_and_doctor_say(preview: PreviewHarness) -> None:
    preview.service = replace(preview.service, env={"COLOUR": "red"}, database=DatabaseSettings("${DB}", "OTHER_URL"))
    assert preview.notes() == (
        f"is a Space of its own, {NAME}, on the Hub's free hardware, and sleeps when nobody uses it",
        "goes live in the turn, once its Space has built it",
        "without variables and secrets that only owner/api has, for it could write to what they lead to: DATABASE_URL, QUEUE",
    )

    async def looks(platform: Platform) -> list[str]:
        assert isinstance(platform, HuggingFacePlatform)
        diagnosed = await platform.diagnose(preview.service)
        inspected = await platform.inspect_release(preview.service, SourceFiles(["Dockerfile"], lambda _: None))
        return [one.what for one in (*diagnosed, *inspected)]

    assert preview.run(looks) == [
        f"the Space {NAME} will be created like owner/api",
        f"its whole checkout (1 file) becomes public in the Space {NAME}",
    ]
    assert NAME not in preview.emulator.spaces
    preview.deploy("one")
    assert f"the Space {NAME} is RUNNING" in preview.run(looks)

    async def logs(platform: Platform) -> int:
        assert isinstance(platform, ReportsLogs)
        return len(await platform.recent_logs(preview.service, 10))

    assert preview.run(logs) >= 0


def test_a_preview_is_private_if_its_base_is(preview: PreviewHarness) -> None:
    configure(preview, private=True)
    version = preview.stage("one")
    assert preview.hub().space_info(NAME).private
    assert version.live_probes[0].bearer == "HF_TOKEN"
    assert any("its Space is private" in note for note in preview.notes())


def test_the_card_of_the_base_counts_where_the_files_have_none(preview: PreviewHarness) -> None:
    """It has ``app_port``, without which the Space would ask the application at another port."""
    store = preview.emulator.repository
    card = b"---\ntitle: Shop\nsdk: docker\napp_port: 8123\n---\n"
    commit = store.store_commit("port", {"README.md": store.store_blob(card)}, ())
    base = preview.emulator.spaces["owner/api"]
    configure(preview, branches={"main": [commit.id]}, commit_ids={*base.commit_ids, commit.id})
    request = preview.stage_request("one")
    dockerfile = request.artifact_path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("7860", "8123"))
    version = preview.run(lambda platform: platform.stage(request, preview.report))
    preview.switch_traffic(version)
    assert preview.served_commit() == preview.commit("one")
    head = preview.emulator.head(NAME)
    assert store.content(head.tree["README.md"]) == card


@pytest.mark.parametrize("sdk", ["static", "gradio"])
def test_every_kind_of_space(preview: PreviewHarness, sdk: str) -> None:
    preview.emulator.add_space("owner/site", sdk)
    preview.service = preview_of("staging-pr-17", HuggingFaceSettings(space="owner/site"))
    request = preview.stage_request("one")
    (request.artifact_path / "index.html").write_text("hello")
    preview.run(lambda platform: platform.stage(request, preview.report))
    assert preview.hub().space_info("owner/site-staging-pr-17").sdk == sdk
    if sdk == "static":
        preview.deploy("one")
        assert get_text(f"{preview.url}/h/owner/site-staging-pr-17/") == "hello"
    preview.remove()
    assert set(preview.emulator.spaces) == {"owner/api", "owner/site"}


@pytest.mark.parametrize("mark", [None, "staging-pr-17 of owner/other", "staging-pr-18 of owner/api"])
def test_a_space_that_abreast_did_not_create_stays(preview: PreviewHarness, mark: str | None) -> None:
    foreign = preview.emulator.add_space(NAME)
    foreign.variables = {"ABREAST_PREVIEW": Variable(mark)} if mark else {}
    foreign.branches["one"] = list(foreign.branches["main"])
    before = facts(foreign)
    for verb in (
        preview.remove, preview.live_version, lambda: preview.stage("one"), lambda: preview.retire("one"),
        lambda: preview.run(lambda hub: hub.switch_traffic([TrafficMove(preview.service, None)], preview.report)),
    ):  # fmt: skip
        with pytest.raises(PlatformError, match=f"the Space {NAME} was not created by abreast for this preview"):
            verb()
    assert facts(foreign) == before


def test_a_preview_that_was_renamed_is_not_deleted(preview: PreviewHarness) -> None:
    """Somebody keeps it under another name."""
    preview.deploy("one")
    preview.hub().move_repo(NAME, "owner/kept", repo_type="space")
    preview.remove()
    assert set(preview.emulator.spaces) == {"owner/api", "owner/kept"}


@pytest.mark.parametrize("kind", [FaultKind.RESPONSE_LOST, FaultKind.REQUEST_DROPPED])
def test_a_creation_whose_answer_is_lost_is_not_repeated(preview: PreviewHarness, kind: FaultKind) -> None:
    preview.emulator.faults.planned = [InjectedFault("POST", "/api/repos/create$", kind)]
    with suppress(UnknownOutcomeError):
        preview.stage("one")
    preview.deploy("one")
    assert preview.served_commit() == preview.commit("one")
    assert set(preview.emulator.spaces) == {"owner/api", NAME}


@pytest.mark.parametrize("request_number", range(10))
def test_a_stage_that_is_killed_is_gone_on_with_and_removed(preview: PreviewHarness, request_number: int) -> None:
    """The mark is part of the creation: at no moment is there a Space that abreast made and does not know again."""
    preview.emulator.faults.planned = [
        InjectedFault(".*", "/api/", FaultKind.STATUS, times=99, skip=request_number, status=503)
    ]
    with suppress(AbreastError):
        preview.stage("one")
    preview.emulator.faults.planned = []
    made = [space for name, space in preview.emulator.spaces.items() if name != "owner/api"]
    assert all(space.variables["ABREAST_PREVIEW"].value == "staging-pr-17 of owner/api" for space in made)
    preview.deploy("one")
    assert preview.served_commit() == preview.commit("one")
    preview.emulator.faults.planned = [InjectedFault("DELETE", "/api/repos/delete$", FaultKind.RESPONSE_LOST, times=3)]
    with suppress(AbreastError):
        preview.remove()
    preview.emulator.faults.planned = []
    preview.remove()
    assert set(preview.emulator.spaces) == {"owner/api"}


def test_a_first_version_that_fails_is_taken_off(preview: PreviewHarness) -> None:
    version = preview.deploy("one")

    async def take_off(platform: Platform) -> bool:
        await platform.switch_traffic([TrafficMove(preview.service, None)], preview.report)
        await platform.retire([VersionRef(preview.service, version.id, version.handle)], 0)
        return platform.capabilities(preview.service).can_unpublish

    assert preview.run(take_off)
    assert set(preview.emulator.spaces) == {"owner/api"}
    with pytest.raises(PlatformError, match=f"there is no Space {NAME}"):
        preview.switch_traffic(version)


def test_a_token_that_may_not_create_is_refused_in_the_plan(preview: PreviewHarness) -> None:
    preview.token = READ_TOKEN
    with pytest.raises(PlatformError):
        preview.live_version()


def test_an_account_where_the_token_may_not_create(preview: PreviewHarness) -> None:
    preview.emulator.add_space("acme/api").read_only = True
    preview.service = preview_of("staging-pr-17", HuggingFaceSettings(space="acme/api"))
    with pytest.raises(PlatformError, match="may not do this") as raised:
        preview.stage("one")
    assert "HF_TOKEN" in str(raised.value)
    assert set(preview.emulator.spaces) == {"owner/api", "acme/api"}
