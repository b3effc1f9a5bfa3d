"""Folders that may be large are out of the way at once, and are gone soon, whoever is killed meanwhile."""

from pathlib import Path

from abreast.machine.large_folders import GOING, remove_soon
from sample_project import eventually


def make_large(folder: Path) -> Path:
    """Make a folder as package managers do: with links, and with folders that cannot be written."""
    for number in range(50):
        module = folder / "node_modules" / f"module-{number}"
        module.mkdir(parents=True)
        (module / "index.js").write_text("")
        (module / "link").symlink_to(folder.parent)
        module.chmod(0o555)
    (folder / "node_modules" / "linked").symlink_to(folder / "node_modules" / "module-1")
    return folder


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_what_is_gone_in_time_needs_no_other_process(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "one"
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "index.html").write_text("")
    (folder / "dist" / "up").symlink_to(tmp_path)
    remove_soon(folder, 60.0)
    assert names(tmp_path / "work") == []
    remove_soon(folder, 60.0)


def test_a_large_one_is_out_of_the_way_at_once_and_gone_soon(tmp_path: Path) -> None:
    kept = tmp_path / "work" / "other"
    kept.mkdir(parents=True)
    (kept / "file").write_text("")
    folder = make_large(tmp_path / "work" / "one")
    remove_soon(folder, 0.0)
    assert not folder.exists()
    eventually(lambda: names(tmp_path / "work") == ["other"])
    assert (kept / "file").exists()


def test_the_next_one_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    left = make_large(tmp_path / "work" / f"one-1{GOING}")
    remove_soon(tmp_path / "work" / "two", 0.0)
    eventually(lambda: not left.exists())
