"""A ledger in refs of the project's own remote, with nothing to host.

``refs/abreast/PROJECT/ledger`` is a branch of commits. Each adds entries: its tree has one file, ``entries.jsonl``,
with a JSON array ``[number, entry, hash]`` a line, and its subject says which numbers. A push succeeds only if the ref
is where the writer saw it (``--force-with-lease``, git-push(1)), which is the compare-and-swap. No clone fetches these
refs unless it asks for them, and GitHub starts no workflow when they change.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from abreast.core.errors import StateError
from abreast.ledger.hash_chain import Link
from abreast.ledger.homes.interface import Home, HomeAwayError
from abreast.machine.variables import process_variables

FILE = "entries.jsonl"
TIMEOUT = 60.0
"""Seconds for one conversation with the remote."""

_OPTIONS = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false")
_SUBJECT = re.compile(r"([0-9a-f]+) entries (\d+) to (\d+)")
_QUOTED = re.compile(r"'[^'\n]*'")
"""What git quotes: the remote's address, whose words and port are not the remote's answer."""
_NO_RIGHT = re.compile(
    r"denied|not authorized|authentication failed|permission|error: 403\b|could not read Username|protected"
    r"|hook declined|host key verification failed",
    re.IGNORECASE,
)
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "abreast", "GIT_AUTHOR_EMAIL": "abreast@localhost",
    "GIT_COMMITTER_NAME": "abreast", "GIT_COMMITTER_EMAIL": "abreast@localhost",
}  # fmt: skip


class GitHome(Home):
    """The refs of one project in one remote of the repository that contains ``folder``."""

    def __init__(self, folder: Path, project: str, remote: str) -> None:
        self._folder = folder
        self._remote = remote
        self._ref = f"refs/abreast/{project}/ledger"
        self._beats = f"refs/abreast/{project}/beat"
        self._beat = 0

    @property
    def title(self) -> str:
        """The ref and the remote."""
        return f"{self._ref} of {self._remote}"

    def stream(self, after: int) -> Iterator[Link]:
        """Yield the links with a number above ``after``, a commit at a time."""
        if not self._fetch():
            return
        commits = [commit for commit, _, last in self._commits() if last > after]
        for commit in reversed(commits):
            yield from (link for link in self._links(commit) if link.seq > after)

    def append(self, last: Link | None, links: Sequence[Link]) -> bool:
        """Append links in one commit, if the ref is where this clone saw it."""
        tip = self._tip()
        newest = next(self._commits("--max-count=1"), None) if tip else None
        if (newest[2] if newest else 0) != (last.seq if last else 0):
            return False
        content = "".join(json.dumps(list(link), ensure_ascii=False) + "\n" for link in links)
        blob = self._git("hash-object", "-w", "--stdin", stdin=content)
        tree = self._git("mktree", stdin=f"100644 blob {blob}\t{FILE}\n")
        parent = ("-p", tip) if tip else ()
        commit = self._git("commit-tree", tree, *parent, "-m", f"entries {links[0].seq} to {links[-1].seq}")
        if not self._swap(self._ref, tip, commit):
            return False
        self._git("update-ref", self._ref, commit)
        return True

    def beat(self, environment: str) -> None:
        """Set the environment's own ref to a commit that no beat had before."""
        self._beat += 1
        tree = self._git("mktree", stdin="")
        commit = self._git("commit-tree", tree, "-m", f"beat {self._beat} of process {os.getpid()}")
        self._git("push", "--quiet", "--no-verify", "--force", self._remote, f"{commit}:{self._beats}/{environment}")

    def last_beat(self, environment: str) -> str:
        """Return the commit of the environment's own ref."""
        return self._remote_tip(f"{self._beats}/{environment}")

    def close(self) -> None:
        """Git keeps no connection."""

    def _fetch(self) -> bool:
        """Bring the ref here as it is at the remote, in one conversation; return whether it is there."""
        options = ("--quiet", "--no-tags", "--no-write-fetch-head")
        fetch = ("fetch", *options, self._remote, f"+{self._ref}:{self._ref}")
        try:
            self._git(*fetch)
        except StateError:
            if self._remote_tip(self._ref):  # raises if the remote does not answer
                self._git(*fetch)  # another machine made the ref just now, or the error comes again
                return True
            if self._tip():
                self._git("update-ref", "-d", self._ref)
            return False
        return True

    def _swap(self, ref: str, old: str, new: str) -> bool:
        """Move a ref at the remote from ``old`` to ``new``; return False if it is somewhere else."""
        try:
            lease = f"--force-with-lease={ref}:{old}"
            self._git("push", "--quiet", "--no-verify", lease, self._remote, f"{new}:{ref}")
        except StateError:
            there = self._remote_tip(ref)  # a refusal and a lost answer look alike
            if there == old:
                raise
            return there == new
        return True

    def _tip(self) -> str:
        return self._git("for-each-ref", "--format=%(objectname)", self._ref)

    def _remote_tip(self, ref: str) -> str:
        return self._git("ls-remote", "--quiet", self._remote, ref).partition("\t")[0]

    def _commits(self, *limit: str) -> Iterator[tuple[str, int, int]]:
        """Yield each commit with the first and last number of its entries, newest first."""
        for line in self._git("log", "--format=%H %s", *limit, self._ref).splitlines():
            if not (found := _SUBJECT.fullmatch(line)):
                raise StateError(
                    f"{self.title}: commit {line} is not abreast's",
                    need="a ref that only abreast writes",
                    next="abreast state verify",
                )
            yield found[1], int(found[2]), int(found[3])

    def _links(self, commit: str) -> Iterator[Link]:
        for line in self._git("cat-file", "blob", f"{commit}:{FILE}").splitlines():
            try:
                seq, entry, hash_ = json.loads(line)
                yield Link(int(seq), str(entry), str(hash_))
            except (ValueError, TypeError) as error:
                raise StateError(
                    f"{self.title}: commit {commit} has a line that is no entry",
                    need="a ref that only abreast writes",
                    next="abreast state verify",
                ) from error

    def _git(self, *arguments: str, stdin: str = "") -> str:
        try:
            done = subprocess.run(
                ["git", *_OPTIONS, *arguments], cwd=self._folder, input=stdin.encode(), capture_output=True,
                check=False, env={**process_variables(), **_ENVIRONMENT}, timeout=TIMEOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise HomeAwayError(f"{self.title}: git {arguments[0]} took more than {TIMEOUT:.0f} s") from error
        except OSError as error:
            raise StateError(f"git cannot be run: {error.strerror}", need="git on the PATH") from error
        if done.returncode == 0:
            return done.stdout.decode().strip()
        raise self._error(arguments[0], done.stderr.decode(errors="replace").strip())

    def _error(self, command: str, said: str) -> StateError:
        lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:", "remote:"))] or [said]
        what = f"{self.title}: git {command} failed: {lines[0] or 'without a word'}"
        if _NO_RIGHT.search(_QUOTED.sub("", said)):
            return StateError(what, need=f"the right to read and push {self._ref}", next="abreast doctor")
        return HomeAwayError(what, need="an answer of the remote", next=f"git ls-remote {self._remote}")
