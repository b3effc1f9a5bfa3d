"""The source, through the git command."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from abreast.core.commits import Commit, CommitRange
from abreast.core.errors import UsageError
from abreast.machine.background import Background
from abreast.machine.remembered import Remembered
from abreast.machine.variables import local_git_variables
from abreast.source.git_command import GitCommand, GitError
from abreast.source.interface import Source
from abreast.source.outgoing_files import OutgoingFile, added_versions, read_versions, write_in_portions
from abreast.source.shallow_clone import ShallowClone

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The empty tree, which every git repository has."""

_FULL_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SUBMODULE = "160000"
_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


class GitRepository(Source):
    """The repository that contains ``folder``, which may be a subfolder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = GitCommand(folder)
        self._git, self._git_bytes = command.text, command.output
        self._git_ahead = GitCommand(folder, local_git_variables).text
        self._git_of_ids = Remembered(command.text)
        self._history = ShallowClone(command)
        self._commits: set[str] = set()
        self._content_ids = Remembered(self._find_content_ids)
        self._mentions = Remembered(self._find_mentions)
        self._author: Background[str] | None = None
        self._uncommitted: Background[tuple[str, ...]] | None = None

    def ask_ahead(self, *, uncommitted: bool) -> None:
        """Begin to look for the author and, if asked to, the uncommitted files. The next calls return what it finds."""
        self._author = Background(self._find_author)
        self._uncommitted = Background(self._find_uncommitted) if uncommitted else None

    def resolve_commit(self, ref: str = "HEAD") -> str:
        """Return the full id of the commit that ``ref`` names."""
        if found := self._find_commit(ref) or self._history.fetch_commit(ref):
            return found
        if self._history.fetch_history() and (found := self._find_commit(ref)):
            return found
        if ref != "HEAD" and self._history.is_shallow:
            raise self._history.missing(f"the commit {ref}")
        raise UsageError(
            f"there is no commit {ref} in {self._folder}",
            need="a commit, a branch or a tag",
            next="git commit" if ref == "HEAD" else "git log --oneline",
        )

    def _find_commit(self, ref: str) -> str:
        """Return the full id of a commit that is here, "" if it is not."""
        if ref in self._commits:
            return ref
        try:
            found = self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except GitError:
            return ""
        self._commits.add(found)
        return found

    def _git_about(self, *commits: str) -> Callable[..., str]:
        """Return what runs git; what it answers about commits that are named by their ids never changes."""
        return self._git_of_ids if all(map(_FULL_ID.fullmatch, commits)) else self._git

    def uncommitted_files(self) -> tuple[str, ...]:
        """Return the files that differ from HEAD or are untracked and not ignored."""
        begun, self._uncommitted = self._uncommitted, None
        return begun.result() if begun else self._find_uncommitted()

    def _find_uncommitted(self) -> tuple[str, ...]:
        entries = self._git_ahead("status", "--porcelain", "-z", "--untracked-files=normal", "--", ".").split("\0")
        files, moved = [], False
        for entry in entries:
            if entry and not moved:
                files.append(entry[3:])
            moved = not moved and entry[:1] in {"R", "C"}
        return tuple(files)

    def changed_files(self, since: str, commit: str) -> Sequence[str] | None:
        """Return the files that differ between two commits, net; None if one of the commits is not available."""
        differences = self._raw_diff(since, commit)
        if differences is None:
            return None
        found: list[str] = []
        for name, old, new in differences:
            found.append(name)
            if old or new:
                inside = GitRepository(self._folder / name).differing_files(old, new)
                if inside is None:
                    return None
                found += (f"{name}/{file}" for file in inside)
        return tuple(found)

    def differing_files(self, old: str, new: str) -> Sequence[str] | None:
        """Return the files that differ between two commits ("": no commit); None if one is not available."""
        try:
            return self.changed_files(old, new) if old and new else self.list_files(old or new)
        except (GitError, UsageError):
            return None

    def changed_lines(self, since: str | None, commit: str) -> Mapping[str, frozenset[int]] | None:
        """Return the added or changed line numbers (from 1) by file; all lines if ``since`` is None."""
        if since and not self._has_commit(since) and not self._history.fetch_commit(since):
            return None
        options = ("--unified=0", "--no-color", "--no-ext-diff", "--no-renames", "--src-prefix=", "--dst-prefix=")
        diff = self._git(
            "-c", "core.quotePath=false", "diff", *options, "--relative", since or EMPTY_TREE, commit, "--", "."
        )
        return {file: frozenset(lines) for file, lines in _added_lines(diff.split("\n")).items()}

    def export_outgoing(self, since: Collection[str], commit: str, into: Path) -> Iterator[Path]:
        """Write what the commits add to ``into``/PORTION/COMMIT/, one portion after the other; yield each."""
        into.mkdir(parents=True)
        return write_in_portions(self._outgoing_files(since, commit, ""), into)

    def _outgoing_files(self, since: Collection[str], commit: str, below: str) -> Iterator[OutgoingFile]:
        self._require_history(commit, self._available(since))
        known = self._available(since)
        top, prefix = self._location
        versions = added_versions(top, prefix, commit, [f"^{base}" for base in known])
        yield from read_versions(top, versions, prefix, below)
        pinned = [self._submodules_at(base) for base in known]
        for name, module in self._submodules_at(commit).items():
            if (self._folder / name / ".git").exists():
                before = [modules[name] for modules in pinned if name in modules]
                yield from GitRepository(self._folder / name)._outgoing_files(before, module, f"{below}{name}/")

    def _submodules_at(self, commit: str) -> Mapping[str, str]:
        """Return the commit of each submodule, by its folder."""
        prefix = f"{_SUBMODULE} commit "
        return {
            name: metadata.removeprefix(prefix)
            for name, metadata in self.content_ids(commit).items()
            if metadata.startswith(prefix)
        }

    def _require_history(self, commit: str, known: Sequence[str]) -> None:
        """Fetch what a shallow clone lacks between ``known`` commits and ``commit``. Raises UsageError if it cannot."""
        if self._is_cut_off(commit, known):
            self._history.fetch_history()
            if self._is_cut_off(commit, known):
                raise self._history.missing("the history that is deployed")

    def _is_cut_off(self, commit: str, known: Sequence[str]) -> bool:
        """Return whether a shallow clone lacks commits between the ``known`` ones and ``commit``."""
        boundary = self._history.boundary()
        return bool(boundary) and not boundary.isdisjoint(
            self._git("rev-list", commit, *(f"^{base}" for base in known)).split()
        )

    def has_ancestor(self, commit: str, ancestor: str) -> bool | None:
        """Return whether ``ancestor`` is ``commit`` or one of its ancestors, None if that cannot be found out."""
        if commit == ancestor or self._is_known_ancestor(commit, ancestor):
            return True
        if not self._has_history(commit, ancestor):
            self._fetch_history(commit, ancestor)
            if self._is_known_ancestor(commit, ancestor):
                return True
        return False if self._has_history(commit, ancestor) else None

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the newest commit that is an ancestor of both, None if there is none or it cannot be found out."""
        if not self._has_history(one, other):
            self._fetch_history(one, other)
        try:
            return self._git("merge-base", one, other).strip()
        except GitError:
            return None

    def _is_known_ancestor(self, commit: str, ancestor: str) -> bool:
        try:
            self._git_about(ancestor, commit)("merge-base", "--is-ancestor", ancestor, commit)
        except GitError:
            return False
        return True

    def _has_history(self, *commits: str) -> bool:
        """Return whether commits are in this clone, and all that came before them."""
        return all(self._has_commit(commit) and not self._is_cut_off(commit, ()) for commit in commits)

    def _fetch_history(self, *commits: str) -> None:
        """Fetch commits that this clone lacks, and the history that a shallow one lacks; do nothing if that fails."""
        self._history.fetch_history()
        if missing := [commit for commit in commits if not self._has_commit(commit)]:
            self._history.fetch_commits(missing)

    def list_files(self, commit: str) -> Sequence[str]:
        """Return the project's files at a commit."""
        return tuple(self.content_ids(commit))

    def content_ids(self, commit: str) -> Mapping[str, str]:
        """Return an id of the content of each of the project's files at a commit."""
        return self._content_ids(commit)

    def _find_content_ids(self, commit: str) -> Mapping[str, str]:
        top, prefix = self._location
        listed = _split_names(self._git("-C", top, "ls-tree", "-r", "-z", f"{commit}:{prefix}"))
        return {name: metadata for metadata, _, name in (entry.partition("\t") for entry in listed)}

    def read_files(self, commit: str, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the content of the named files, without those that the commit does not have."""
        if not names:
            return {}
        _, prefix = self._location
        requested = "".join(f"{commit}:{prefix and prefix + '/'}{name}\n" for name in names if "\n" not in name)
        answer = self._git_bytes("cat-file", "--batch", stdin=requested.encode(errors="surrogateescape"))
        return dict(_batch_contents(answer, [name for name in names if "\n" not in name]))

    def find_mentions(self, commit: str, names: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Return the commit's text files in which each of ``names`` occurs as a whole word."""
        return self._mentions(commit, frozenset(names))

    def _find_mentions(self, commit: str, names: frozenset[str]) -> Mapping[str, frozenset[str]]:
        patterns = [part for name in names for part in ("-e", name)]
        files: dict[str, set[str]] = {name: set() for name in names}
        try:
            output = self._git("grep", "-z", "-o", "-w", "-I", "-F", *patterns, commit, "--", ".") if patterns else ""
        except GitError:  # no match
            output = ""
        for line in output.split("\n"):
            file, _, name = line.removeprefix(f"{commit}:").partition("\0")
            if name in files:
                files[name].add(file)
        return {name: frozenset(found) for name, found in files.items()}

    def checkout(self, commit: str, into: Path) -> None:
        """Check out the project's files at a commit into the new folder ``into``.

        Uses an index of its own, so that the user's repository stays untouched even if this is interrupted.
        """
        into.mkdir(parents=True)
        index = into.with_name(f"{into.name}.index")
        try:
            top, prefix = self._location
            self._git("-C", top, "read-tree", f"{commit}:{prefix}", index=index)
            self._git("-C", top, "checkout-index", "--all", f"--prefix={into}/", index=index)
            for name, module in self._submodules_at(commit).items():
                self._checkout_submodule(name, module, into)
        except GitError as error:
            raise UsageError(f"git could not check out {commit[:7]}: {error}", next="git fsck") from error
        finally:
            index.unlink(missing_ok=True)

    def _checkout_submodule(self, name: str, commit: str, into: Path) -> None:
        if not (self._folder / name / ".git").exists():
            raise UsageError(
                f"the submodule {name} is not checked out, so it cannot be built",
                need=f"its files at {commit[:7]}",
                next="git submodule update --init --recursive",
            )
        with suppress(FileNotFoundError):
            (into / name).rmdir()
        GitRepository(self._folder / name).checkout(commit, into / name)

    def tag(self, name: str, commit: str, message: str) -> None:
        """Tag a commit; does nothing if it has the tag already. Raises UsageError if another commit has the tag."""
        try:
            taken = self._git("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}").strip()
        except GitError:
            taken = ""
        if taken and taken != commit:
            raise UsageError(
                f"the tag {name} already exists at {taken[:7]}, not at {commit[:7]}", next="git tag --list"
            )
        if taken:
            return
        identity = ("-c", f"user.name={self.author() or 'abreast'}", "-c", "user.email=abreast@localhost")
        try:
            self._git(*identity, "tag", "--annotate", "--no-sign", "--message", message, name, commit)
        except GitError as error:
            raise UsageError(f"git could not create the tag {name}: {error}", next="git status") from error

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message, "" if the commit is not here."""
        try:
            return self._git("log", "-1", "--format=%s", commit, "--").strip()
        except GitError:
            return ""

    def commits(self, since: Collection[str], commit: str, limit: int) -> CommitRange:
        """Return the commits up to ``commit`` without those in ``since`` and before, at most ``limit`` of them."""
        if not self._has_commit(commit):
            return CommitRange(None)
        bases = self._available(since)
        known = [f"^{base}" for base in bases]
        listed = self._git("log", "-z", f"--max-count={limit}", "--format=%H%x1f%an%x1f%s", commit, *known, "--")
        texts = listed.encode(errors="surrogateescape").decode(errors="replace")  # a message can have any bytes
        fields = [text.split("\x1f", 2) for text in _split_names(texts)]
        newest = tuple(Commit(id_, subject, author) for id_, author, subject in fields)
        is_whole = len(bases) == len(since) and not self._history.is_shallow
        count = int(self._git("rev-list", "--count", commit, *known, "--")) if is_whole else None
        return CommitRange(count, newest)

    def author(self) -> str:
        """Return the current user's name, "" if unknown."""
        self._author = self._author or Background(self._find_author)
        return self._author.result()

    def commit_authors(self, since: Collection[str], commit: str) -> frozenset[str]:
        """Return who wrote the commits up to ``commit`` that are not in ``since``, by all names that they may have."""
        known = [f"^{base}" for base in since if base != commit and self._has_commit(base)]
        listed = self._git("log", "--format=%an%n%ae", commit, *known) if known else ""
        listed += self._git("log", "-1", "--format=%an%n%ae", commit)
        return frozenset(name for text in listed.splitlines() if text for name in _names_of(text))

    def remote_url(self) -> str:
        """Return the address of the remote ``origin``, "" if there is none."""
        try:
            return self._git("remote", "get-url", "origin").strip()
        except GitError:
            return ""

    def _find_author(self) -> str:
        try:
            return self._git_ahead("config", "user.name").strip()
        except GitError:
            return os.environ.get("USER", "")

    @cached_property
    def _location(self) -> tuple[str, str]:
        """The repository's top folder, and the path of the project's folder in it."""
        top, prefix = self._git("rev-parse", "--show-toplevel", "--show-prefix").removesuffix("\n").split("\n")
        return top, prefix.rstrip("/")

    def _raw_diff(self, since: str, commit: str) -> Sequence[tuple[str, str, str]] | None:
        """Return (file, old, new) for each difference, None if ``since`` is not available.

        Old and new are commits for a submodule, else "".
        """
        options = ("--raw", "--no-renames", "--no-abbrev", "-z", "--relative")
        try:
            diff = self._git_about(since, commit)("diff", *options, since, commit, "--", ".")
        except GitError:
            if self._has_commit(since):
                raise
            return self._raw_diff(since, commit) if self._history.fetch_commit(since) else None
        fields = iter(diff.split("\0"))
        return [
            (name, old if old_mode == _SUBMODULE else "", new if new_mode == _SUBMODULE else "")
            for field, name in zip(fields, fields, strict=False)
            for old_mode, new_mode, old, new, _ in [field.lstrip(":").split(" ")]
        ]

    def _available(self, commits: Collection[str]) -> Sequence[str]:
        return [commit for commit in commits if self._has_commit(commit)]

    def _has_commit(self, commit: str) -> bool:
        return bool(self._find_commit(commit))


def _split_names(output: str) -> Sequence[str]:
    return tuple(name for name in output.split("\0") if name)


def _added_lines(diff: Iterable[str]) -> dict[str, set[int]]:
    """Return the line numbers that a diff without context adds, by file."""
    found: dict[str, set[int]] = {}
    file = ""
    for line in diff:
        if line.startswith("+++ "):
            file = line[4:].rstrip("\t")
        elif hunk := _HUNK.match(line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            found.setdefault(file, set()).update(range(first, first + count))
    return found


def _batch_contents(answer: bytes, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) from the output of ``cat-file --batch`` (git-cat-file(1), BATCH OUTPUT)."""
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


def _names_of(author: str) -> tuple[str, ...]:
    """Return the names behind a name or an address, such as ``1234+ada@users.noreply.github.com``."""
    local, at, _ = author.partition("@")
    return (author, local, local.rpartition("+")[2]) if at else (author,)
