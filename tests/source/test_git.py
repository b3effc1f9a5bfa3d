"""Git gives what was committed, from wherever in the repository the project lies."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from abreast.core.errors import UsageError
from abreast.source import outgoing_files
from abreast.source.git import GitRepository


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
    source = GitRepository(top / below)
    before = git(top, "status", "--porcelain")
    source.checkout(source.resolve_commit(), tmp_path / "room" / "out")
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
    source = GitRepository(top / "shop")
    first = source.resolve_commit()
    (top / "shop" / "app.py").write_text("two")
    (top / "README").write_text("two")
    git(top, "mv", "shop/bin/run", "shop/bin/go")
    second = commit(top)
    assert source.changed_files(first, second) == ("app.py", "bin/go", "bin/run")
    (top / "shop" / "app.py").write_text("one")
    assert source.changed_files(first, commit(top)) == ("bin/go", "bin/run")
    assert source.changed_files("0" * 40, second) is None


def test_uncommitted_files_are_told(top: Path) -> None:
    source = GitRepository(top / "shop")
    assert source.uncommitted_files() == ()
    (top / "shop" / "app.py").write_text("x")
    (top / "shop" / "new file").write_text("x")
    git(top, "mv", "shop/link", "shop/other")
    assert set(source.uncommitted_files()) == {"shop/app.py", "shop/other", "shop/new file"}


def test_errors_say_what_to_do(top: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no commit nowhere"):
        GitRepository(top).resolve_commit("nowhere")
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(UsageError, match="there is no commit HEAD"):
        GitRepository(tmp_path / "empty").resolve_commit()


def clone(of: Path, into: Path, *arguments: str) -> GitRepository:
    git(of.parent, "-c", "protocol.file.allow=always", "clone", "-q", *arguments, f"file://{of}", str(into))
    return GitRepository(into)


def test_a_shallow_clone_fetches_the_commit_that_it_lacks(top: Path, tmp_path: Path) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    for number in range(3):
        (top / f"new-{number}").write_text("")
        commit(top)
    last = git(top, "rev-parse", "HEAD").strip()
    shallow = clone(top, tmp_path / "shallow", "--depth=1")
    assert shallow.changed_files(first, last) == ("new-0", "new-1", "new-2")
    assert clone(top, tmp_path / "other", "--depth=1").changed_files("f" * 40, last) is None


def test_a_merge_is_its_net_difference(top: Path) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    git(top, "checkout", "-qb", "side")
    (top / "shop" / "side.py").write_text("")
    commit(top)
    git(top, "checkout", "-q", "-")
    (top / "README").write_text("main")
    commit(top)
    git(top, "merge", "-q", "--no-ff", "-m", "Merge", "side")
    assert set(GitRepository(top).changed_files(first, "HEAD") or ()) == {"README", "shop/side.py"}


def test_after_a_force_push_what_was_live_is_still_known(top: Path) -> None:
    (top / "gone").write_text("")
    live = commit(top)
    git(top, "reset", "-q", "--hard", "HEAD^")
    (top / "instead").write_text("")
    assert set(GitRepository(top).changed_files(live, commit(top)) or ()) == {"gone", "instead"}


def test_a_submodule_tells_its_files_and_is_checked_out(top: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (library / "src").mkdir(parents=True)
    (library / "src" / "a.py").write_text("one")
    git(library, "init", "-q")
    commit(library)
    before = git(top, "rev-parse", "HEAD").strip()
    git(top, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "shop/lib")
    first = commit(top)
    source = GitRepository(top)
    assert set(source.changed_files(before, first) or ()) == {".gitmodules", "shop/lib", "shop/lib/src/a.py"}
    (top / "shop" / "lib" / "src" / "b.py").write_text("two")
    commit(top / "shop" / "lib")
    second = commit(top)
    assert source.changed_files(first, second) == ("shop/lib", "shop/lib/src/b.py")
    assert GitRepository(top / "shop").changed_files(first, second) == ("lib", "lib/src/b.py")
    GitRepository(top / "shop").checkout(first, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "lib" / "src").iterdir()] == ["a.py"]
    bare = clone(top, tmp_path / "without")
    assert bare.changed_files(first, second) is None, "its commits are not here"
    with pytest.raises(UsageError, match="submodule shop/lib is not checked out"):
        bare.checkout(first, tmp_path / "nothing")


def test_files_are_listed_and_read_as_committed(top: Path) -> None:
    source = GitRepository(top / "shop")
    assert set(source.list_files("HEAD")) == {"app.py", "bin/run", "link", "ä b.txt"}
    assert source.read_files("HEAD", ["app.py", "none", "ä b.txt", "bin"]) == {"app.py": b"one", "ä b.txt": b"x"}
    assert source.read_files("HEAD", []) == {}


def exported(source: GitRepository, since: list[str], commit: str, into: Path) -> list[dict[str, str]]:
    """What goes out: the content of each file, by commit and name, in portions."""
    return [
        {path.relative_to(portion).as_posix(): path.read_text() for path in portion.rglob("*") if path.is_file()}
        for portion in source.export_outgoing(since, commit, into)
    ]


def test_what_goes_out_is_each_version_that_the_commits_bring(top: Path, tmp_path: Path) -> None:
    live = git(top, "rev-parse", "HEAD").strip()
    (top / "shop" / "keys.txt").write_text("secret")
    (top / "shop" / "node_modules").mkdir()
    (top / "shop" / "node_modules" / "keys.txt").write_text("secret")
    (top / "other.txt").write_text("outside of the project")
    first = commit(top)
    (top / "shop" / "keys.txt").unlink()
    (top / "shop" / "node_modules" / "keys.txt").unlink()
    (top / "shop" / "app.py").write_text("two")
    second = commit(top)
    source = GitRepository(top / "shop")
    brought = {f"{first}/keys.txt": "secret", f"{first}/node_modules/keys.txt": "secret", f"{second}/app.py": "two"}
    assert exported(source, [live, "f" * 40], second, tmp_path / "out") == [brought]
    assert exported(source, [second], second, tmp_path / "none") == []
    for number, nothing_live in enumerate(([], ["f" * 40])):
        (whole,) = exported(source, nothing_live, second, tmp_path / f"all-{number}")
        assert brought.items() < whole.items()
        assert {name for name in whole if name.startswith(live)} == {
            f"{live}/{name}" for name in ("app.py", "bin/run", "link", "ä b.txt")
        }


def test_what_a_merge_leaves_out_or_makes_up_goes_out_too(top: Path, tmp_path: Path) -> None:
    git(top, "config", "log.showRoot", "false")
    git(top, "checkout", "-qb", "side")
    (top / "left.txt").write_text("left out")
    left = commit(top)
    git(top, "checkout", "-q", "-")
    (top / "README").write_text("other")
    commit(top)
    git(top, "merge", "-q", "-s", "ours", "--no-commit", "side")
    (top / "made.txt").write_text("of no parent")
    merged = commit(top)
    (found,) = exported(GitRepository(top), [], merged, tmp_path / "out")
    assert found[f"{left}/left.txt"] == "left out"
    assert {name: text for name, text in found.items() if name.startswith(merged)} == {
        f"{merged}/made.txt": "of no parent"
    }


def test_much_goes_out_in_portions_of_which_one_exists(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_files, "PORTION_BYTES", 1000)
    monkeypatch.setattr(outgoing_files, "PORTION_FILES", 5)
    for number in range(12):
        (top / f"{number}.txt").write_text(str(number) * (900 if number > 9 else 1))
    last = commit(top)
    names: list[str] = []
    for portion in GitRepository(top).export_outgoing([], last, tmp_path / "out"):
        files = [path for path in portion.rglob("*") if path.is_file()]
        assert len(files) == 1 or sum(path.stat().st_size for path in files) <= 1000
        assert len(files) <= 5
        assert list((tmp_path / "out").iterdir()) == [portion]
        names += [path.name for path in files]
    assert len(names) == len(set(names)) == 12 + 5
    assert list((tmp_path / "out").iterdir()) == []


def test_what_goes_out_of_a_submodule_is_its_history_too(top: Path, tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    git(module, "init", "-q")
    (module / "keys.txt").write_text("secret")
    commit(module)
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(module), "shop/lib")
    live = commit(top)
    (top / "shop" / "lib" / "keys.txt").write_text("other")
    inside = commit(top / "shop" / "lib")
    last = commit(top)
    source = GitRepository(top / "shop")
    assert exported(source, [live], last, tmp_path / "since") == [{f"{inside}/lib/keys.txt": "other"}]
    (whole,) = exported(source, [], last, tmp_path / "all")
    assert sorted(text for name, text in whole.items() if name.endswith("/lib/keys.txt")) == ["other", "secret"]


def test_a_shallow_clone_gets_its_history_or_says_that_it_lacks_it(top: Path, tmp_path: Path) -> None:
    (top / "keys.txt").write_text("secret")
    leak = commit(top)
    (top / "keys.txt").unlink()
    last = commit(top)
    shallow = clone(top, tmp_path / "shallow", "--depth=1")
    (found,) = exported(shallow, [], last, tmp_path / "out")
    assert found[f"{leak}/keys.txt"] == "secret"
    assert exported(clone(top, tmp_path / "since", "--depth=1"), [leak], last, tmp_path / "later") == []
    cut_off = clone(top, tmp_path / "cut-off", "--depth=1")
    git(tmp_path / "cut-off", "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="cut-off is a shallow clone: earlier commits are missing"):
        exported(cut_off, [], last, tmp_path / "nothing")
    assert exported(cut_off, [last], last, tmp_path / "none") == []


def test_a_shallow_clone_finds_what_people_name(top: Path, tmp_path: Path) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    git(top, "branch", "release")
    git(top, "tag", "v1")
    for number in range(3):
        (top / f"new-{number}").write_text("")
        commit(top)
    last = git(top, "rev-parse", "HEAD").strip()
    for number, ref in enumerate(("HEAD~3", "origin/release", "release", "v1", first[:10])):
        assert clone(top, tmp_path / f"clone-{number}", "--depth=1").resolve_commit(ref) == first, ref
    shallow = clone(top, tmp_path / "shallow", "--depth=1")
    assert shallow.has_ancestor(last, first)
    assert not shallow.has_ancestor(first, last)
    with pytest.raises(UsageError, match="there is no commit nowhere"):
        clone(top, tmp_path / "other", "--depth=1").resolve_commit("nowhere")


class Refusing(BaseHTTPRequestHandler):
    """A server of repositories that asks everybody for a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/shop.git"
        server.shutdown()


@pytest.mark.parametrize("trouble", ["no remote", "gone", "no right"])
def test_a_shallow_clone_that_cannot_fetch_says_what_to_do(
    top: Path, tmp_path: Path, trouble: str, refusing_server: str
) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    (top / "new").write_text("")
    last = commit(top)
    shallow, folder = clone(top, tmp_path / "shallow", "--depth=1"), tmp_path / "shallow"
    git(folder, "checkout", "-q", "--detach")
    if trouble == "no remote":
        git(folder, "remote", "remove", "origin")
    elif trouble == "gone":
        git(folder, "remote", "set-url", "origin", f"file://{tmp_path}/nowhere")
    else:
        git(folder, "remote", "set-url", "origin", refusing_server)
    assert shallow.resolve_commit() == last
    assert shallow.changed_files(first, last) is None
    assert not shallow.has_ancestor(last, first)
    with pytest.raises(UsageError) as refused:
        shallow.resolve_commit("HEAD~1")
    assert refused.value.what == f"{folder} is a shallow clone: earlier commits are missing"
    assert "fetch-depth: 0" in refused.value.next


def test_a_repository_of_another_user_is_named_as_that(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UsageError) as refused:
        GitRepository(top / "shop").uncommitted_files()
    assert "another user owns it" in refused.value.what
    assert refused.value.next == f"git config --global --add safe.directory {top}"
    monkeypatch.setenv("HOME", str(tmp_path))
    subprocess.run(refused.value.next.split(), check=True)
    assert GitRepository(top / "shop").uncommitted_files() == ()


def test_changed_lines_are_those_that_are_new_or_other(top: Path) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    (top / "shop" / "app.py").write_text("zero\none\ntwo\n")
    (top / "shop" / "ä b.txt").write_text("y\nz")
    (top / "README").unlink()
    found = GitRepository(top / "shop").changed_lines(first, commit(top))
    assert found == {"app.py": frozenset({1, 2, 3}), "ä b.txt": frozenset({1, 2})}
    assert GitRepository(top).changed_lines("f" * 40, first) is None


def test_a_tag_is_made_once_and_never_moved(top: Path) -> None:
    first, source = git(top, "rev-parse", "HEAD").strip(), GitRepository(top)
    source.tag("v1", first, "shop v1")
    source.tag("v1", first, "shop v1")
    assert git(top, "tag", "--list", "-n1").split() == ["v1", "shop", "v1"]
    (top / "README").write_text("other")
    with pytest.raises(UsageError, match="the tag v1 already exists at"):
        source.tag("v1", commit(top), "shop v1")


def test_files_that_are_asked_for_ahead_are_looked_for_anew_the_next_time(top: Path) -> None:
    git(top, "config", "user.name", "Ada")
    (top / "README").write_text("changed")
    source = GitRepository(top)
    source.ask_ahead(uncommitted=True)
    assert (source.author(), source.uncommitted_files()) == ("Ada", ("README",))
    (top / "new").write_text("")
    assert (source.author(), source.uncommitted_files()) == ("Ada", ("README", "new"))


def test_git_is_asked_once_for_what_never_changes(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    (top / "README").write_text("changed")
    second, source, trace = commit(top), GitRepository(top), tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE2", str(trace))

    def ask() -> object:
        assert source.resolve_commit(second) == second
        return (
            source.changed_files(first, second), source.has_ancestor(second, first), len(source.list_files(second)),
            source.find_mentions(second, ["changed"]), source.read_files(second, []),
        )  # fmt: skip

    assert source.resolve_commit() == second
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(), range(8)))
    assert answers == [(("README",), True, 5, {"changed": {"README"}}, {})] * 8
    asked = [line.partition(" git ")[2].split(" ")[0] for line in trace.read_text().splitlines() if " start " in line]
    assert sorted(asked) == ["-C", "diff", "grep", "merge-base", "rev-parse", "rev-parse"]


def test_head_and_a_commit_that_was_missing_are_looked_for_again(top: Path) -> None:
    source, first = GitRepository(top), git(top, "rev-parse", "HEAD").strip()
    assert source.resolve_commit() == first
    (top / "README").write_text("changed")
    with pytest.raises(UsageError, match="there is no commit later"):
        source.resolve_commit("later")
    second = commit(top)
    git(top, "tag", "later")
    assert source.resolve_commit() == source.resolve_commit("later") == second


def test_an_error_of_what_is_asked_ahead_comes_where_the_answer_is_needed(tmp_path: Path) -> None:
    source = GitRepository(tmp_path)
    source.ask_ahead(uncommitted=True)
    with pytest.raises(UsageError, match="not a git repository"):
        source.uncommitted_files()


def test_the_commits_between_two(top: Path, tmp_path: Path) -> None:
    first = git(top, "rev-parse", "HEAD").strip()
    for subject in (b"one", b"two \x1f\xc3\xa4", b""):
        done = [
            "git",
            "-c",
            "user.name=A\u00e4",
            "-c",
            "user.email=a@x",
            "commit",
            "-q",
            "--allow-empty",
            "--allow-empty-message",
            "-F",
            "-",
        ]
        subprocess.run(done, cwd=top, input=subject, check=True)
    last, source = git(top, "rev-parse", "HEAD").strip(), GitRepository(top)
    found = source.commits([first], last, 2)
    assert (found.count, [commit.id for commit in found.newest]) == (3, [last, git(top, "rev-parse", "HEAD~1").strip()])
    assert [(commit.subject, commit.author) for commit in found.newest] == [("", "Aä"), ("two \x1fä", "Aä")]
    assert source.commits([], last, 1).count == 4
    assert source.commits([last], first, 1) == source.commits([last], last, 1) == source.commits([first], first, 1)
    assert source.commits(["0" * 40], last, 1).count is None
    assert source.commits([first], "0" * 40, 1).newest == ()
    assert clone(top, tmp_path / "shallow", "--depth=1").commits([first], last, 9).count is None
    head = subprocess.run(["git", "cat-file", "commit", last], cwd=top, capture_output=True, check=True).stdout
    broken = head.partition(b"\n\n")[0] + b"\n\nnot \xff UTF-8\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=top, input=broken, capture_output=True, check=True
    )
    assert source.commits([first], made.stdout.decode().strip(), 1).newest[0].subject == "not \ufffd UTF-8"
