"""What installs made is kept whole or not at all, and within bounds."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from abreast.runtimes.folder import FolderInstallStore
from sample_project import eventually

KEY, OTHER = "a" * 32, "b" * 32


def checkout(folder: Path) -> Path:
    """A clean checkout: a manifest, a lock file, a package of a workspace."""
    (folder / "ui").mkdir(parents=True)
    (folder / "package.json").write_text("{}")
    (folder / "lock").write_text("1")
    (folder / "ui" / "button.js").write_text("button")
    return folder


def install(folder: Path, size: int = 10) -> None:
    """Leave what package managers leave: files, links, programs, folders below those of the commit."""
    for place in (folder, folder / "ui"):
        (place / "node_modules" / "pad" / "bin").mkdir(parents=True)
        (place / "node_modules" / "pad" / "bin" / "pad").write_text("#!/bin/sh\n" + "x" * size)
        (place / "node_modules" / "pad" / "bin" / "pad").chmod(0o755)
    (folder / "node_modules" / "ui").symlink_to("../ui")
    (folder / ".pnp.cjs").write_text("pnp")


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else "folder"
        found[path.relative_to(folder).as_posix()] = (path.lstat().st_mode, kind)
    return found


@pytest.fixture
def store(tmp_path: Path) -> FolderInstallStore:
    return FolderInstallStore(tmp_path / "installs", max_bytes=1000, min_age=0)


def keep(store: FolderInstallStore, key: str, folder: Path, size: int = 10) -> Path:
    store.begin(key, checkout(folder), ["lock"])
    install(folder, size)
    assert store.changed_files(key, folder) == []
    store.complete(key, folder)
    return folder


def test_what_was_left_is_in_the_next_checkout(store: FolderInstallStore, tmp_path: Path) -> None:
    first = keep(store, KEY, tmp_path / "first")
    second = checkout(tmp_path / "second")
    (second / "ui" / "button.js").write_text("newer")
    store.restore(KEY, second)
    assert store.is_complete(KEY)
    assert tree(second) == {**tree(first), "ui/button.js": (0o100644, "newer")}


def test_what_a_build_writes_to_it_stays_there(store: FolderInstallStore, tmp_path: Path) -> None:
    first = keep(store, KEY, tmp_path / "first")
    (first / "node_modules" / "pad" / "bin" / "pad").write_text("spoilt")
    second, third = checkout(tmp_path / "second"), checkout(tmp_path / "third")
    store.restore(KEY, second)
    (second / "node_modules" / "pad" / "bin" / "pad").write_text("spoilt")
    store.restore(KEY, third)
    assert (third / "node_modules" / "pad" / "bin" / "pad").read_text().startswith("#!/bin/sh")


def test_files_of_the_commit_that_it_changed_are_told(store: FolderInstallStore, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "work")
    store.begin(KEY, folder, ["lock"])
    (folder / "lock").write_text("1")  # the same again, as some package managers do
    assert store.changed_files(KEY, folder) == []
    (folder / "lock").write_text("2")
    (folder / "ui" / "button.js").unlink()
    assert store.changed_files(KEY, folder) == ["lock", "ui/button.js"]


def test_what_an_interrupted_install_left_is_never_used(store: FolderInstallStore, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "work")
    store.begin(KEY, folder, [])
    (store.python_folder(KEY) / "bin").mkdir(parents=True)
    assert not store.is_complete(KEY)
    store.begin(KEY, folder, [])
    assert not store.python_folder(KEY).exists()


def test_an_environment_without_its_interpreter_or_at_another_place_is_not_used(
    store: FolderInstallStore, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "work")
    store.begin(KEY, folder, [])
    python = store.python_folder(KEY) / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    store.complete(KEY, folder)
    assert store.is_complete(KEY)
    moved = tmp_path / "moved"
    shutil.copytree(store.home, moved, symlinks=True)
    assert not FolderInstallStore(moved).is_complete(KEY)
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert not store.is_complete(KEY)
    shutil.rmtree(store.python_folder(KEY))
    assert not store.is_complete(KEY)


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from abreast.runtimes.folder import FolderInstallStore
from test_install_store import KEY, checkout, install
store, folder = FolderInstallStore(Path(sys.argv[1])), Path(sys.argv[2])
with store.lock(KEY) as free:
    assert free
    store.begin(KEY, checkout(folder), [])
    install(folder, 200_000)
    print("begun", flush=True)
    store.complete(KEY, folder)
"""


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.01, 0.02, 0.05])
def test_a_kill_in_the_middle_leaves_it_whole_or_unused(
    store: FolderInstallStore, tmp_path: Path, moment: float
) -> None:
    argv = [
        sys.executable,
        "-c",
        KILLED,
        str(store.home),
        str(tmp_path / "work"),
        str(Path(__file__).parent),
        *sys.path,
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        time.sleep(moment)
        process.kill()
    again = checkout(tmp_path / "again")
    with ExitStack() as held:  # a program that was about to start had the lock for a moment longer
        eventually(lambda: held.enter_context(store.lock(KEY)))
        if store.is_complete(KEY):
            store.restore(KEY, again)
        else:
            store.begin(KEY, again, [])
            install(again, 200_000)
            store.complete(KEY, again)
            assert store.is_complete(KEY)
    assert tree(again) == tree(tmp_path / "work")


def test_a_copy_ends_with_the_process_that_makes_it(store: FolderInstallStore, tmp_path: Path) -> None:
    work, pipe = checkout(tmp_path / "work"), tmp_path / "pipe"
    store.begin(KEY, work, [])
    (work / "left").mkdir()
    copies = f"from pathlib import Path\nfrom abreast.runtimes import folder\nfolder._copy(Path({str(work / 'left')!r}), Path({str(tmp_path / 'to')!r}))\n"
    slow = tmp_path / "bin" / "cp"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\necho $$ > {pipe}\nexec sleep 600\n")
    slow.chmod(0o755)
    environment = {**os.environ, "PATH": f"{slow.parent}:{os.environ['PATH']}"}
    with subprocess.Popen([sys.executable, "-c", copies], env=environment) as copying:
        eventually(lambda: pipe.exists() and pipe.read_text().strip())
        assert is_running(int(pipe.read_text()))
        copying.kill()
    eventually(lambda: not is_running(int(pipe.read_text())))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_of_two_at_once_one_installs(store: FolderInstallStore) -> None:
    with store.lock(KEY) as first, store.lock(KEY) as second, store.lock(OTHER) as other:
        assert (first, second, other) == (True, False, True)
    with store.lock(KEY) as free:
        assert free


def test_a_command_that_a_killed_process_left_running_is_ended_first(store: FolderInstallStore, tmp_path: Path) -> None:
    environment = {**os.environ, **store.mark(KEY)}
    with subprocess.Popen(["sleep", "600"], env=environment) as left:
        eventually(lambda: store.home.parts and Path(f"/proc/{left.pid}/cmdline").read_bytes().startswith(b"sleep"))
        store.begin(KEY, checkout(tmp_path / "work"), [])
        assert left.wait() == -signal.SIGKILL


def test_what_was_used_longest_ago_goes_first_and_what_an_artifact_needs_stays(
    store: FolderInstallStore, tmp_path: Path
) -> None:
    keys = [letter * 32 for letter in "abcd"]
    for age, key in enumerate(keys):
        keep(store, key, tmp_path / key, size=300)  # more than 600 bytes each
        moment = time.time() - 1000 * (age + 1)
        os.utime(store.home / key / "complete.json", (moment, moment))
    store.reference(keys[3], "sha256:live")
    store.reference(keys[2], "sha256:gone")
    assert store.prune({"sha256:live"}) == 2
    assert [store.is_complete(key) for key in keys] == [True, False, False, True]


def test_an_install_under_way_is_not_pruned(store: FolderInstallStore, tmp_path: Path) -> None:
    store.begin(KEY, checkout(tmp_path / "work"), [])
    with store.lock(KEY) as free:
        assert free
        assert store.prune(()) == 0
    assert store.prune(()) == 1


def inode(folder: Path) -> int:
    return (folder / "node_modules" / "pad" / "bin" / "pad").stat().st_ino


def test_a_spare_copy_is_taken_once_and_is_nobody_elses(store: FolderInstallStore, tmp_path: Path) -> None:
    first = keep(store, KEY, tmp_path / "first")
    store.prepare()
    (spare,) = (store.home / KEY / "spares").iterdir()
    ready = inode(spare)
    second, third, fourth = (checkout(tmp_path / name) for name in ("second", "third", "fourth"))
    store.restore(KEY, second)
    assert tree(second) == tree(first)
    assert inode(second) == ready, "moved, not copied"
    (second / "node_modules" / "pad" / "bin" / "pad").write_text("spoilt")
    store.restore(KEY, third)
    assert tree(third) == tree(first)
    store.prepare()
    assert len(list((store.home / KEY / "spares").iterdir())) == 2, "as many as were used"
    store.restore(KEY, fourth)
    assert tree(fourth) == tree(first)


def test_a_spare_copy_that_is_not_whole_is_never_used(store: FolderInstallStore, tmp_path: Path) -> None:
    first = keep(store, KEY, tmp_path / "first")
    spares = store.home / KEY / "spares"
    for name in ("unfinished", "00000000-0000-0000-0000-000000000000-1"):  # of a killed process, of an earlier boot
        (spares / name).mkdir()
    second = checkout(tmp_path / "second")
    store.restore(KEY, second)
    assert tree(second) == tree(first)
    store.prepare()
    assert all(tree(spare)["node_modules/pad/bin/pad"][1].startswith("#!/bin/sh") for spare in spares.iterdir())
    assert len(list(spares.iterdir())) == 2
