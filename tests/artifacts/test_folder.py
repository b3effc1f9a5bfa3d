"""Artifacts: taken in whole, found by digest, refused where a byte is other; in a folder, and in a store behind it."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from abreast.artifacts.folder import FolderArtifactStore
from abreast.artifacts.interface import ArtifactStore
from abreast.artifacts.remote import RemoteArtifactStore
from abreast.core.errors import ArtifactError

pytestmark = pytest.mark.timeout(600)  # the first of them installs Azurite

NONE = "sha256:" + "0" * 64


def built(folder: Path, text: str = "same") -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text(text)
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("sub/file")
    return folder


@pytest.fixture(params=["folder", "file", "s3", "az", "gs"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    here = FolderArtifactStore(tmp_path / "artifacts")
    if request.param == "folder":
        return here
    return RemoteArtifactStore(here, request.getfixturevalue(request.param))


@pytest.mark.exhaustive
def test_the_same_content_is_one_artifact_and_the_folder_is_gone(artifacts: ArtifactStore, tmp_path: Path) -> None:
    digests = {artifacts.add(built(tmp_path / name), {"service": "web"}) for name in ("one", "two")}
    (digest,) = digests
    found = artifacts.fetch(digest)
    assert (found / "sub" / "file").read_text() == "same"
    assert not (tmp_path / "two").exists()
    assert artifacts.add(built(tmp_path / "three", "other"), {"service": "web"}) != digest
    assert artifacts.metadata(digest, "web") == {"digest": digest, "service": "web"}


def test_two_services_of_one_content_have_a_note_each(artifacts: ArtifactStore, tmp_path: Path) -> None:
    digest = artifacts.add(built(tmp_path / "one"), {"service": "web", "inputs": "abc"})
    assert artifacts.add(built(tmp_path / "two"), {"service": "api", "inputs": "def"}) == digest
    artifacts.annotate(digest, "api", results=[1])
    assert artifacts.metadata(digest, "web") == {"digest": digest, "service": "web", "inputs": "abc"}
    assert artifacts.metadata(digest, "api") == {"digest": digest, "service": "api", "inputs": "def", "results": [1]}
    assert (artifacts.find_by_inputs("abc"), artifacts.find_by_inputs("def")) == (digest, digest)


def test_what_is_known_can_be_added_to(artifacts: ArtifactStore, tmp_path: Path) -> None:
    digest = artifacts.add(built(tmp_path / "one"), {"service": "web", "inputs": "abc"})
    artifacts.annotate(digest, "web", results=[1])
    assert artifacts.metadata(digest, "web") == {"digest": digest, "service": "web", "inputs": "abc", "results": [1]}
    assert artifacts.find_by_inputs("abc") == digest
    assert artifacts.find_by_inputs("def") is None


def test_one_byte_other_and_it_is_refused(artifacts: ArtifactStore, tmp_path: Path) -> None:
    digest = artifacts.add(built(tmp_path / "one"), {"service": "web"})
    file = artifacts.fetch(digest) / "sub" / "file"
    file.write_text("sane")
    with pytest.raises(ArtifactError, match="is not what was built"):
        artifacts.fetch(digest)
    artifacts.add(built(tmp_path / "again"), {"service": "web"})
    assert (artifacts.fetch(digest) / "sub" / "file").read_text() == "same"
    (artifacts.fetch(digest) / "run").chmod(0o644)
    with pytest.raises(ArtifactError, match="is not what was built"):
        artifacts.fetch(digest)


def test_what_nobody_needs_goes(artifacts: ArtifactStore, tmp_path: Path) -> None:
    old = artifacts.add(built(tmp_path / "one", "old"), {"service": "web", "inputs": "old"})
    new = artifacts.add(built(tmp_path / "two", "new"), {"service": "web", "inputs": "new"})
    assert artifacts.prune({new}) == 0, "it may be on its way into a release"
    time.sleep(1.1)  # S3 tells whole seconds
    assert artifacts.prune({new}, min_age=0) == 1
    assert (artifacts.has(old), artifacts.has(new)) == (False, True)
    assert (artifacts.find_by_inputs("old"), artifacts.find_by_inputs("new")) == (None, new)
    assert artifacts.metadata(old, "web") == {}
    with pytest.raises((ArtifactError, FileNotFoundError)):
        artifacts.fetch(old)
    artifacts.fetch(new)


def test_what_is_not_here_is_said(artifacts: ArtifactStore) -> None:
    assert not artifacts.has(NONE)
    with pytest.raises(ArtifactError, match="is gone"):
        artifacts.fetch(NONE)


def test_many_of_the_same_at_once(tmp_path: Path) -> None:
    artifacts = FolderArtifactStore(tmp_path / "artifacts")
    folders = [built(tmp_path / str(number)) for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda folder: artifacts.add(folder, {"service": "web"}), folders))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts"]
    assert len(list((tmp_path / "artifacts").iterdir())) == 2


@pytest.mark.parametrize("kind", ["file", "s3", "az", "gs"])
def test_another_machine_has_it_from_the_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(kind)
    digest = RemoteArtifactStore(FolderArtifactStore(tmp_path / "a"), url).add(
        built(tmp_path / "one"), {"service": "web", "inputs": "abc"}
    )
    other = RemoteArtifactStore(FolderArtifactStore(tmp_path / "b"), url)
    assert other.has(digest)
    assert other.find_by_inputs("abc") == digest
    found = other.fetch(digest)
    assert os.access(found / "run", os.X_OK)
    assert (found / "link").readlink() == Path("sub/file")
    assert other.metadata(digest, "web")["inputs"] == "abc"


@pytest.mark.parametrize("harm", ["cut", "other", "nothing"])
def test_what_was_harmed_in_the_store_is_refused(tmp_path: Path, harm: str) -> None:
    (tmp_path / "store").mkdir()
    url = f"file://{tmp_path}/store"
    first = RemoteArtifactStore(FolderArtifactStore(tmp_path / "a"), url)
    digest, another = (first.add(built(tmp_path / text, text), {"service": "web"}) for text in ("one", "another"))
    archive, sound = (tmp_path / "store" / "artifacts" / f"{one[7:]}.tar.zst" for one in (digest, another))
    if harm == "cut":
        archive.write_bytes(archive.read_bytes()[:-20])
    elif harm == "other":
        shutil.copy(sound, archive)
    else:
        archive.unlink()
    other = RemoteArtifactStore(FolderArtifactStore(tmp_path / "b"), url)
    other.fetch(another)
    with pytest.raises(ArtifactError, match=r"cannot be unpacked|is not what was built|is gone"):
        other.fetch(digest)
    assert [path.name for path in (tmp_path / "b").glob("*/")] == [another[7:]], "what is right stays"


def test_a_store_that_is_not_there_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    artifacts = RemoteArtifactStore(FolderArtifactStore(tmp_path / "a"), "s3://none/at/all")
    with pytest.raises(ArtifactError, match="the artifact store s3://none/at/all could not be used"):
        artifacts.add(built(tmp_path / "one"), {"service": "web"})
