"""The files of a Space: what is sent, what is fetched, and what the storage refuses."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from abreast.core.errors import PlatformError
from abreast.core.model import Version
from abreast.platforms.huggingface.client import HubClient
from abreast.platforms.interface import Platform
from abreast.testing.platforms import huggingface
from platform_harness import SpaceHarness


@pytest.fixture
def space(tmp_path: Path) -> Iterator[SpaceHarness]:
    with ExitStack() as cleanup:
        yield SpaceHarness(tmp_path, cleanup)


def deploy(space: SpaceHarness, name: str, files: Mapping[str, bytes]) -> Version:
    """Deploy a version with further files."""
    order = space.stage_request(name)
    for path, content in files.items():
        (order.artifact_path / path).parent.mkdir(parents=True, exist_ok=True)
        (order.artifact_path / path).write_bytes(content)
    version = space.run(lambda platform: platform.stage(order, space.report))
    space.switch_traffic(version)
    return version


def requests(space: SpaceHarness, method: str, part: str) -> list[str]:
    return [path for asked, path in space.emulator.faults.requests if asked == method and part in path]


def stored(space: SpaceHarness) -> dict[str, bytes]:
    """Return the content of the main branch."""
    tree = space.emulator.head("owner/api").tree
    return {path: space.emulator.repository.content(entry) for path, entry in tree.items()}


def test_a_second_deploy_follows_the_hubs_redirects(space: SpaceHarness) -> None:
    deploy(space, "one", {})
    deploy(space, "two", {"data/größe 1.txt": b"changed"})
    assert stored(space)["data/größe 1.txt"] == b"changed"
    assert requests(space, "GET", "/api/resolve-cache/spaces/owner/api/")
    assert space.served_commit() == space.commit("two")


def test_a_large_file_is_read_from_another_host_without_the_token(space: SpaceHarness) -> None:
    """The storage refuses a request with a token, as S3 does."""
    deploy(space, "one", {"model.bin": b"\0 a model"})

    async def read(_: Platform) -> bytes:
        api = space.connect()
        try:
            return await HubClient(api).get_file("owner/api", "main", "model.bin")
        finally:
            await api.close()

    assert space.run(read) == b"\0 a model"
    assert requests(space, "GET", "/storage/")


def test_large_files_go_apart_from_the_commit(space: SpaceHarness) -> None:
    content = os.urandom(huggingface.LFS_THRESHOLD)
    one = deploy(space, "one", {"model.bin": content, "copy.bin": content, "empty.bin": b""})
    file = space.emulator.head("owner/api").tree["model.bin"]
    assert file.lfs == hashlib.sha256(content).hexdigest()
    assert stored(space)["copy.bin"] == content
    assert len(requests(space, "PUT", "/storage/")) == 1
    space.deploy("two")
    space.emulator.faults.requests.clear()
    space.switch_traffic(one)
    assert space.emulator.head("owner/api").tree["model.bin"] == file
    assert not requests(space, "PUT", "/storage/"), "it is named, not sent again"
    assert not requests(space, "GET", "/storage/"), "nor fetched"


@pytest.mark.exhaustive
def test_more_large_files_than_the_hub_takes_at_once(space: SpaceHarness) -> None:
    files = {f"{number}.bin": b"\0%d" % number for number in range(257)}
    deploy(space, "one", files)
    assert files.items() <= stored(space).items()
    assert len(requests(space, "POST", "/objects/batch")) == 2


def test_a_large_file_that_the_storage_refuses_is_named(space: SpaceHarness) -> None:
    full = b"\0 too much"
    space.emulator.refused_objects[hashlib.sha256(full).hexdigest()] = "Storage limit reached"
    with pytest.raises(PlatformError) as raised:
        deploy(space, "one", {"fine.bin": b"\0", "big/model.bin": full, "copy.bin": full})
    told = str(raised.value)
    assert "does not store 2 of the files: big/model.bin: Storage limit reached (403); copy.bin:" in told
    assert "fine.bin" not in told
    assert "https://huggingface.co/spaces/owner/api/settings" in told
    assert space.emulator.head("owner/api").title == "initial commit"


@pytest.mark.exhaustive
def test_a_way_back_sends_only_what_differs(space: SpaceHarness) -> None:
    same = {f"same/{number}.txt": b"%d" % number for number in range(100)}
    old = {f"old/{number}.txt": b"the same text" for number in range(10)}
    one = deploy(space, "one", {**same, **old, "weights.bin": b"\0weights"})
    before = stored(space)
    deploy(space, "two", {**same, "new.txt": b"new"})
    space.emulator.faults.requests.clear()
    space.switch_traffic(one)
    after = stored(space)
    assert {**after, "abreast-release.json": b""} == {**before, "abreast-release.json": b""}
    fetched = {path.partition("/resolve/")[2].partition("/")[2] for path in requests(space, "GET", "/resolve/")}
    assert fetched == {"abreast-release.json", "Dockerfile", "old/9.txt"}, "a text that ten files have comes once"
