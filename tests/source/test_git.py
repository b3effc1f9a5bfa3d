"""Git gives what was committed, from wherever in the repository the project lies."""

import os
import subprocess
from pathlib import Path

import pytest

from abreast.core.errors import UsageError
from abreast.source.git import Git


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    for name, text in {
        "README": "top",
        "shop/app.py": "one",
        "shop/bin/run": "#!/bin/sh\n",
        "shop/ä b.txt": "x",
    }.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "shop" / "bin" / "run").chmod(0o755)
    (made / "shop" / "link").symlink_to("app.py")
    git(made, "init", "-q")
    commit(made)
    return made


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Change")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize("below", ["", "shop"])
def test_a_checkout_is_what_was_committed(top: Path, tmp_path: Path, below: str) -> None:
    (top / "shop" / "app.py").write_text("not committed")
    (top / "shop" / "new").write_text("not committed")
    source = Git(top / below)
    before = git(top, "status", "--porcelain")
    source.checkout(source.commit(), tmp_path / "room" / "out")
    shop = tmp_path / "room" / "out" / ("" if below else "shop")
    assert (shop / "app.py").read_text() == "one"
    assert os.access(shop / "bin" / "run", os.X_OK)
    assert (shop / "link").is_symlink()
    assert (shop / "ä b.txt").exists()
    assert not (shop / "new").exists()
    assert (tmp_path / "room" / "out" / "README").exists() is not bool(below)
    assert git(top, "status", "--porcelain") == before
    assert [path.name for path in (tmp_path / "room").iterdir()] == ["out"]


def test_what_changed_is_net_and_below_the_project(top: Path) -> None:
    source = Git(top / "shop")
    first = source.commit()
    (top / "shop" / "app.py").write_text("two")
    (top / "README").write_text("two")
    git(top, "mv", "shop/bin/run", "shop/bin/go")
    second = commit(top)
    assert source.changed(first, second) == ("app.py", "bin/go", "bin/run")
    (top / "shop" / "app.py").write_text("one")
    assert source.changed(first, commit(top)) == ("bin/go", "bin/run")
    assert source.changed("0" * 40, second) is None


def test_uncommitted_files_are_told(top: Path) -> None:
    source = Git(top / "shop")
    assert source.uncommitted() == ()
    (top / "shop" / "app.py").write_text("x")
    (top / "shop" / "new file").write_text("x")
    git(top, "mv", "shop/link", "shop/other")
    assert set(source.uncommitted()) == {"shop/app.py", "shop/other", "shop/new file"}


def test_errors_say_what_to_do(top: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no commit nowhere"):
        Git(top).commit("nowhere")
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(UsageError, match="there is no commit HEAD"):
        Git(tmp_path / "empty").commit()
