"""What a clone lacks: a shallow one, as CI systems make them, and one that others have gone on from."""

from collections.abc import Sequence
from contextlib import suppress

from abreast.core.errors import UsageError
from abreast.source.git_command import GitCommand, GitError

FETCH_TIMEOUT = 60.0
"""Timeout for fetching one commit, in seconds."""

FETCH_HISTORY_TIMEOUT = 300.0
"""Timeout for fetching what a shallow clone lacks, in seconds."""

ID_LENGTH = 40

WHOLE_HISTORY = "git fetch --unshallow, or in a workflow `fetch-depth: 0` of actions/checkout"
"""The next command for whoever needs commits that a shallow clone lacks."""


class ShallowClone:
    """The history of a repository that may be cut off. What it lacks is fetched from the remote that it came from."""

    def __init__(self, git: GitCommand) -> None:
        self._git = git

    @property
    def is_shallow(self) -> bool:
        """Whether history is cut off."""
        return self._git.text("rev-parse", "--is-shallow-repository").strip() == "true"

    def fetch_commit(self, ref: str) -> str:
        """Fetch the one commit of a branch, a tag or an id, without its history; return its id, "" if it cannot."""
        with suppress(GitError):
            if self.is_shallow:
                remote = self._remote()
                name = ref.removeprefix(f"{remote}/")
                options = ("--quiet", "--no-tags", "--depth=1")
                self._git.text("fetch", *options, remote, "--", name, timeout=FETCH_TIMEOUT)
                fetched = ref if len(ref) == ID_LENGTH else "FETCH_HEAD"  # that of another fetch, if two run at once
                return self._git.text("rev-parse", "--verify", "--quiet", f"{fetched}^{{commit}}").strip()
        return ""

    def fetch_history(self) -> bool:
        """Fetch everything that is cut off; return whether there was something, and it is there now."""
        with suppress(GitError):
            if self.is_shallow:
                self._git.text(
                    "fetch", "--quiet", "--no-tags", "--unshallow", self._remote(), timeout=FETCH_HISTORY_TIMEOUT
                )
                return True
        return False

    def fetch_commits(self, commits: Sequence[str]) -> None:
        """Fetch commits and what came before them; do nothing if that fails."""
        with suppress(GitError):
            options = ("--quiet", "--no-tags")
            self._git.text("fetch", *options, self._remote(), "--", *commits, timeout=FETCH_HISTORY_TIMEOUT)

    def boundary(self) -> frozenset[str]:
        """Return the commits whose parents are cut off."""
        file = self._git.folder / self._git.text("rev-parse", "--git-path", "shallow").strip()
        return frozenset(file.read_text().split()) if file.exists() else frozenset()

    def missing(self, what: str) -> UsageError:
        """Return the error for history that is missing and cannot be fetched."""
        return UsageError(
            f"{self._git.folder} is a shallow clone: earlier commits are missing", need=what, next=WHOLE_HISTORY
        )

    def _remote(self) -> str:
        return self._git.text("remote").split("\n")[0]
