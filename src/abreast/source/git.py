"""Git, by its own command."""

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from abreast.core.errors import UsageError
from abreast.source.interface import Source

FETCH_TIMEOUT = 60.0
"""Seconds that fetching one commit may take."""

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The tree of no files, which git knows by itself."""

_SUBMODULE = "160000"
_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


class GitRepository(Source):
    """The repository that ``folder`` lies in; ``folder`` may be below its top."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content_ids: dict[str, Mapping[str, str]] = {}

    def resolve_commit(self, ref: str = "HEAD") -> str:
        """Return the full id of the commit that ``ref`` names."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except _GitError as error:
            if not self._is_repository():
                raise UsageError(
                    f"{self._folder} is not in a git repository",
                    need="a commit to deploy: what goes out is what was committed",
                    next="git init && git add -A && git commit -m 'Start'",
                ) from error
            raise UsageError(
                f"there is no commit {ref} in {self._folder}",
                need="a commit, a branch or a tag",
                next="git commit" if ref == "HEAD" else "git log --oneline",
            ) from error

    def uncommitted_files(self) -> tuple[str, ...]:
        """Return the files that differ from HEAD or that git does not know and does not ignore."""
        entries = self._git("status", "--porcelain", "-z", "--untracked-files=normal", "--", ".").split("\0")
        files, moved = [], False
        for entry in entries:
            if entry and not moved:
                files.append(entry[3:])
            moved = not moved and entry[:1] in {"R", "C"}
        return tuple(files)

    def changed_files(self, since: str, commit: str) -> Sequence[str] | None:
        """Return the files in which two commits differ, net; None when one of them is not to be had."""
        if not self._has_commit(since) and not self._fetch_commit(since):
            return None
        found: list[str] = []
        for name, old, new in self._raw_diff(since, commit):
            found.append(name)
            if old or new:
                below = GitRepository(self._folder / name).differing_files(old, new)
                if below is None:
                    return None
                found += (f"{name}/{file}" for file in below)
        return tuple(found)

    def differing_files(self, old: str, new: str) -> Sequence[str] | None:
        """Return the files in which two commits differ, where "" stands for none; None when they are not here."""
        try:
            return self.changed_files(old, new) if old and new else self.list_files(old or new)
        except (_GitError, UsageError):
            return None

    def changed_lines(self, since: str | None, commit: str) -> Mapping[str, frozenset[int]] | None:
        """Return by file the lines, from 1, that are new or other in ``commit``, all without ``since``."""
        if since and not self._has_commit(since) and not self._fetch_commit(since):
            return None
        options = ("--unified=0", "--no-color", "--no-ext-diff", "--no-renames", "--src-prefix=", "--dst-prefix=")
        diff = self._git(
            "-c", "core.quotePath=false", "diff", *options, "--relative", since or EMPTY_TREE, commit, "--", "."
        )
        return {file: frozenset(lines) for file, lines in _added_lines(diff.split("\n")).items()}

    def export_outgoing(self, since: Collection[str], commit: str, into: Path) -> None:
        """Put every version of a file that ``commit`` and those before it brought below ``into``/COMMIT/."""
        into.mkdir(parents=True)
        known = [f"^{one}" for one in since if self._has_commit(one)]
        if not known:
            self.checkout(commit, into / commit[:7])
            return
        options = ("--raw", "--no-renames", "--no-abbrev", "-m", "-z", "--relative", "--format=%x00%H")
        log = self._git("log", *options, commit, *known, "--", ".")
        found = dict(_added_blobs(log))
        contents = self._git_bytes("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in found).encode())
        for blob, content in _batch_contents(contents, list(found)):
            file = into / found[blob]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def has_ancestor(self, commit: str, ancestor: str) -> bool:
        """Tell whether ``earlier`` is the commit, or one of those that it came from."""
        if commit == ancestor:
            return True
        try:
            self._git("merge-base", "--is-ancestor", ancestor, commit)
        except _GitError:
            return False
        return True

    def list_files(self, commit: str) -> Sequence[str]:
        """Return the project's files as committed."""
        return tuple(self.content_ids(commit))

    def content_ids(self, commit: str) -> Mapping[str, str]:
        """Return by file of the project an id of its content as committed."""
        if commit not in self._content_ids:
            top, prefix = self._location
            listed = _split_names(self._git("-C", top, "ls-tree", "-r", "-z", f"{commit}:{prefix}"))
            self._content_ids[commit] = {name: about for about, _, name in (entry.partition("\t") for entry in listed)}
        return self._content_ids[commit]

    def read_files(self, commit: str, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the content of those of the project's files that the commit has."""
        _, prefix = self._location
        asked = "".join(f"{commit}:{prefix and prefix + '/'}{name}\n" for name in names if "\n" not in name)
        answer = self._git_bytes("cat-file", "--batch", stdin=asked.encode(errors="surrogateescape"))
        return dict(_batch_contents(answer, [name for name in names if "\n" not in name]))

    def find_mentions(self, commit: str, names: Collection[str], excluding: Collection[str] = ()) -> frozenset[str]:
        """Return which of the names stand in the commit's files as whole words; ``but`` names files not looked at."""
        asked = [part for name in names for part in ("-e", name)]
        where = [".", *(f":(exclude){name}" for name in excluding)]
        try:
            found = self._git("grep", "-h", "-o", "-w", "-I", "-F", *asked, commit, "--", *where) if asked else ""
        except _GitError:  # none of them
            found = ""
        return frozenset(found.split("\n")) & frozenset(names)

    def checkout(self, commit: str, into: Path) -> None:
        """Put the project's files as committed into the new folder ``into``.

        By an index of its own, so that the user's repository is not touched, however this is cut off.
        """
        into.mkdir(parents=True)
        index = into.with_name(f"{into.name}.index")
        try:
            top, prefix = self._location
            self._git("-C", top, "read-tree", f"{commit}:{prefix}", index=index)
            self._git("-C", top, "checkout-index", "--all", f"--prefix={into}/", index=index)
            staged = self._git("-C", top, "ls-files", "--stage", "-z", index=index)
            for name, module in _submodules(staged):
                self._checkout_submodule(name, module, into)
        except _GitError as error:
            raise UsageError(f"git could not give the files of {commit[:7]}: {error}", next="git fsck") from error
        finally:
            index.unlink(missing_ok=True)

    def _checkout_submodule(self, name: str, commit: str, into: Path) -> None:
        if not (self._folder / name / ".git").exists():
            raise UsageError(
                f"the submodule {name} is not here, so that it cannot be a part of what is built",
                need=f"its files at {commit[:7]}",
                next="git submodule update --init --recursive",
            )
        with suppress(FileNotFoundError):
            (into / name).rmdir()
        GitRepository(self._folder / name).checkout(commit, into / name)

    def tag(self, name: str, commit: str, message: str) -> None:
        """Give the commit a tag; one that it has already stays. Raises UsageError where another commit has it."""
        try:
            taken = self._git("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}").strip()
        except _GitError:
            taken = ""
        if taken and taken != commit:
            raise UsageError(
                f"the tag {name} is that of {taken[:7]} already, not of {commit[:7]}", next="git tag --list"
            )
        if taken:
            return
        who = ("-c", f"user.name={self.author() or 'abreast'}", "-c", "user.email=abreast@localhost")
        try:
            self._git(*who, "tag", "--annotate", "--no-sign", "--message", message, name, commit)
        except _GitError as error:
            raise UsageError(f"git could not make the tag {name}: {error}", next="git status") from error

    def author(self) -> str:
        """Return the name of the person at work here, "" if unknown."""
        try:
            return self._git("config", "user.name").strip()
        except _GitError:
            return os.environ.get("USER", "")

    @cached_property
    def _location(self) -> tuple[str, str]:
        """The repository's top folder, and where the project's lies below it."""
        top, prefix = self._git("rev-parse", "--show-toplevel", "--show-prefix").removesuffix("\n").split("\n")
        return top, prefix.rstrip("/")

    def _raw_diff(self, since: str, commit: str) -> Iterator[tuple[str, str, str]]:
        """Yield each file that differs, and for a submodule the commits that it was and is at."""
        diff = self._git("diff", "--raw", "--no-renames", "--no-abbrev", "-z", "--relative", since, commit, "--", ".")
        fields = iter(diff.split("\0"))
        for field, name in zip(fields, fields, strict=False):
            old_mode, new_mode, old, new, _ = field.lstrip(":").split(" ")
            yield name, old if old_mode == _SUBMODULE else "", new if new_mode == _SUBMODULE else ""

    def _has_commit(self, commit: str) -> bool:
        try:
            return bool(self._git("cat-file", "-e", f"{commit}^{{commit}}") or True)
        except _GitError:
            return False

    def _fetch_commit(self, commit: str) -> bool:
        """Fetch a commit that a shallow clone lacks; its history is not needed for a net difference."""
        try:
            if self._git("rev-parse", "--is-shallow-repository").strip() != "true":
                return False
            remote = self._git("remote").split("\n")[0]
            self._git("fetch", "--quiet", "--no-tags", "--depth=1", remote, commit, timeout=FETCH_TIMEOUT)
        except _GitError:
            return False
        return self._has_commit(commit)

    def _is_repository(self) -> bool:
        try:
            return bool(self._git("rev-parse", "--git-dir"))
        except _GitError:
            return False

    def _git(self, *arguments: str, index: Path | None = None, timeout: float | None = None) -> str:
        return self._git_bytes(*arguments, index=index, timeout=timeout).decode(errors="surrogateescape")

    def _git_bytes(
        self, *arguments: str, index: Path | None = None, timeout: float | None = None, stdin: bytes = b""
    ) -> bytes:
        own = {"GIT_INDEX_FILE": str(index)} if index else {}
        env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **own}
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=self._folder,
                input=stdin,
                capture_output=True,
                check=False,
                env=env,
                timeout=timeout,
            )
        except FileNotFoundError as error:
            raise UsageError("git is not installed", need="git on the PATH", next="apt-get install git") from error
        except subprocess.TimeoutExpired as error:
            raise _GitError(f"git {arguments[0]}: no end after {timeout:g} s") from error
        if done.returncode != 0:
            raise _GitError(done.stderr.decode(errors="replace").strip())
        return done.stdout


class _GitError(Exception):
    """Git said no."""


def _split_names(output: str) -> Sequence[str]:
    return tuple(name for name in output.split("\0") if name)


def _added_blobs(log: str) -> Iterator[tuple[str, str]]:
    """Yield each blob that commits brought, with the commit's first letters and the file's name, oldest last."""
    commit = ""
    fields = iter(log.split("\0"))
    for field in fields:
        if field.startswith(("\n:", ":")):
            _, mode, _, blob, _ = field.strip().split(" ")
            name = next(fields)
            if mode not in {"000000", _SUBMODULE}:
                yield blob, f"{commit[:7]}/{name}"
        elif field.strip():
            commit = field.strip()


def _added_lines(diff: Iterable[str]) -> dict[str, set[int]]:
    """Return the lines that a diff without context adds, by file."""
    found: dict[str, set[int]] = {}
    file = ""
    for line in diff:
        if line.startswith("+++ "):
            file = line[4:].rstrip("\t")
        elif hunk := _HUNK.match(line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            found.setdefault(file, set()).update(range(first, first + count))
    return found


def _submodules(staged: str) -> Iterator[tuple[str, str]]:
    """Yield the name and commit of each submodule in an index, as ``ls-files --stage`` tells it."""
    for entry in _split_names(staged):
        about, name = entry.split("\t", 1)
        mode, commit, _ = about.split(" ")
        if mode == _SUBMODULE:
            yield name, commit


def _batch_contents(answer: bytes, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield what ``cat-file --batch`` answers, in the order of what it was asked (git-cat-file(1), BATCH OUTPUT)."""
    at = 0
    for name in names:
        end = answer.index(b"\n", at)
        head, at = answer[at:end].rsplit(b" ", 2), end + 1
        if head[-1] == b"missing":
            continue
        size = int(head[-1])
        if head[-2] == b"blob":
            yield name, answer[at : at + size]
        at += size + 1
