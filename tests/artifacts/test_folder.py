"""Artifacts in a folder: taken in whole, found by digest, however many come at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from abreast.artifacts.folder import FolderArtifacts


def built(folder: Path, text: str) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text(text)
    return folder


def test_the_same_content_is_one_artifact_and_the_folder_is_gone(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    digests = {artifacts.add(built(tmp_path / name, "same")) for name in ("one", "two")}
    (digest,) = digests
    found = artifacts.path(digest)
    assert found
    assert (found / "sub" / "file").read_text() == "same"
    assert not (tmp_path / "two").exists()
    assert artifacts.add(built(tmp_path / "three", "other")) != digest


def test_many_of_the_same_at_once(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    folders = [built(tmp_path / str(number), "same") for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(artifacts.add, folders))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts"]


def test_what_is_not_here_is_not_found(tmp_path: Path) -> None:
    assert FolderArtifacts(tmp_path).path("sha256:" + "0" * 64) is None
