"""Runs git, and says what is wrong where a person can mend it."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from abreast.core.errors import UsageError
from abreast.machine.variables import process_variables

_WORK_ANYWHERE = frozenset({"config", "-C"})
"""First arguments of git commands that work outside of a repository, and of the one that asks for it."""


class GitError(Exception):
    """Git failed; the message is its error output."""


class GitCommand:
    """The git command in a folder, with the ``variables`` of this process.

    Raises GitError if it fails, UsageError without a repository that it may use.
    """

    def __init__(self, folder: Path, variables: Callable[[], Mapping[str, str]] = process_variables) -> None:
        self.folder = folder
        self._variables = variables

    def text(self, *arguments: str, index: Path | None = None, timeout: float | None = None) -> str:
        """Return the output of a git command as text. Bytes that are not UTF-8 become surrogates."""
        return self.output(*arguments, index=index, timeout=timeout).decode(errors="surrogateescape")

    def output(
        self, *arguments: str, index: Path | None = None, timeout: float | None = None, stdin: bytes = b""
    ) -> bytes:
        """Return the output of a git command, which gets ``stdin`` and may use an ``index`` of its own."""
        own = {"GIT_INDEX_FILE": str(index)} if index else {}
        env = {**self._variables(), "GIT_TERMINAL_PROMPT": "0", **own}
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=self.folder,
                input=stdin,
                capture_output=True,
                check=False,
                env=env,
                timeout=timeout,
            )
        except FileNotFoundError as error:
            raise UsageError("git is not installed", need="git on the PATH", next="apt-get install git") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(f"git {arguments[0]}: timed out after {timeout:g} s") from error
        if done.returncode == 0:
            return done.stdout
        if arguments[0] not in _WORK_ANYWHERE:
            self._require_repository()
        raise GitError(done.stderr.decode(errors="replace").strip())

    def _require_repository(self) -> None:
        """Raise UsageError if there is no repository, or one of another user, as in the container of a CI job."""
        try:
            self.output("-C", ".", "rev-parse", "--git-dir")
        except GitError as error:
            if "dubious ownership" in str(error):
                raise UsageError(
                    f"git does not trust the repository {self.folder}: another user owns it",
                    need="git's consent, which a container of a CI job needs for the checkout",
                    next=f"git config --global --add safe.directory {_named_folder(str(error)) or self.folder}",
                ) from error
            raise UsageError(
                f"not a git repository: {self.folder}",
                need="a git repository: abreast deploys commits",
                next="git init && git add -A && git commit -m 'Start'",
            ) from error


def _named_folder(message: str) -> str:
    """Return the folder that git names in "detected dubious ownership in repository at '…'"."""
    return message.partition("repository at '")[2].partition("'")[0]
