"""The content of repositories: blobs, trees and commits."""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.testing.platforms.common import utc_timestamp


@dataclass(frozen=True)
class TreeEntry:
    """A file of a tree. ``oid`` is git's SHA-1; ``lfs`` is the content's SHA-256 where git LFS stores it."""

    oid: str
    size: int
    lfs: str | None = None


@dataclass(frozen=True)
class Commit:
    """A commit with its whole tree, by path."""

    id: str
    title: str
    tree: dict[str, TreeEntry]
    parents: tuple[str, ...]
    date: str


class RepositoryStore:
    """Commits by id, and blobs by ``oid`` or, for git LFS, by SHA-256. All repositories share them."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.blobs: dict[str, bytes] = {}

    def resolve(self, branches: Mapping[str, Sequence[str]], revision: str) -> Commit:
        """Return the commit of a branch or an id. Raises KeyError where neither exists."""
        return self.commits[branches[revision][-1] if revision in branches else revision]

    def history(self, commit: Commit) -> list[Commit]:
        """Return a commit and its ancestors by first parent, newest first."""
        commits = [commit]
        while commits[-1].parents:
            commits.append(self.commits[commits[-1].parents[0]])
        return commits

    def content(self, entry: TreeEntry) -> bytes:
        """Return the content of a file."""
        return self.blobs[entry.lfs or entry.oid]

    def store_blob(self, content: bytes) -> TreeEntry:
        """Store a file's content."""
        oid = _git_oid(content)
        self.blobs[oid] = content
        return TreeEntry(oid, len(content))

    def store_commit(self, title: str, tree: dict[str, TreeEntry], parents: tuple[str, ...]) -> Commit:
        """Store a commit under a new id."""
        commit = Commit(secrets.token_hex(20), title, tree, parents, utc_timestamp())
        self.commits[commit.id] = commit
        return commit

    def apply_operation(self, tree: dict[str, TreeEntry], kind: str, value: Mapping[str, Any]) -> None:
        """Change ``tree`` by one operation of the Hub's commit request.

        ``kind`` is ``file``, ``lfsFile``, ``deletedFile`` or ``deletedFolder``. Raises KeyError where the content
        of an ``lfsFile`` is not stored, or the file to delete does not exist.
        """
        if kind == "file":
            tree[value["path"]] = self.store_blob(base64.b64decode(value["content"]))
        elif kind == "lfsFile":
            tree[value["path"]] = self._lfs_entry(value["oid"])
        elif kind == "deletedFile":
            del tree[value["path"]]
        else:
            for path in [path for path in tree if path.startswith(value["path"].rstrip("/") + "/")]:
                del tree[path]

    def _lfs_entry(self, sha256: str) -> TreeEntry:
        size = len(self.blobs[sha256])
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return TreeEntry(_git_oid(pointer.encode()), size, sha256)


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
