"""Git, by its own command."""

import os
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from abreast.core.errors import UsageError
from abreast.source.interface import Source


class Git(Source):
    """The repository that ``folder`` lies in; ``folder`` may be below its top."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def commit(self, ref: str = "HEAD") -> str:
        """Return the full id of the commit that ``ref`` names."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except _GitError as error:
            if not self._inside():
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

    def uncommitted(self) -> tuple[str, ...]:
        """Return the files that differ from HEAD or that git does not know and does not ignore."""
        entries = self._git("status", "--porcelain", "-z", "--untracked-files=normal", "--", ".").split("\0")
        files, moved = [], False
        for entry in entries:
            if entry and not moved:
                files.append(entry[3:])
            moved = not moved and entry[:1] in {"R", "C"}
        return tuple(files)

    def changed(self, since: str, commit: str) -> Sequence[str] | None:
        """Return the files in which two commits differ, net; None when ``since`` is not in the repository."""
        try:
            found = self._git("diff", "--name-only", "--no-renames", "-z", "--relative", since, commit, "--", ".")
        except _GitError:
            return None
        return tuple(name for name in found.split("\0") if name)

    def checkout(self, commit: str, into: Path) -> None:
        """Put the project's files as committed into the new folder ``into``.

        By an index of its own, so that the user's repository is not touched, however this is cut off.
        """
        into.mkdir(parents=True)
        index = into.with_name(f"{into.name}.index")
        try:
            top, prefix = self._place
            self._git("-C", top, "read-tree", f"{commit}:{prefix}", index=index)
            self._git("-C", top, "checkout-index", "--all", f"--prefix={into}/", index=index)
        except _GitError as error:
            raise UsageError(f"git could not give the files of {commit[:7]}: {error}", next="git fsck") from error
        finally:
            index.unlink(missing_ok=True)

    def author(self) -> str:
        """Return the name of the person at work here, "" if unknown."""
        try:
            return self._git("config", "user.name").strip()
        except _GitError:
            return os.environ.get("USER", "")

    @cached_property
    def _place(self) -> tuple[str, str]:
        """The repository's top folder, and where the project's lies below it."""
        top, prefix = self._git("rev-parse", "--show-toplevel", "--show-prefix").removesuffix("\n").split("\n")
        return top, prefix.rstrip("/")

    def _inside(self) -> bool:
        try:
            return bool(self._git("rev-parse", "--git-dir"))
        except _GitError:
            return False

    def _git(self, *arguments: str, index: Path | None = None) -> str:
        own = {"GIT_INDEX_FILE": str(index)} if index else {}
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self._folder, capture_output=True, check=False, env={**os.environ, **own}
            )
        except FileNotFoundError as error:
            raise UsageError("git is not installed", need="git on the PATH", next="apt-get install git") from error
        if done.returncode != 0:
            raise _GitError(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode(errors="surrogateescape")


class _GitError(Exception):
    """Git said no."""
