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
    """Commits by id, and blobs by ``oid`` or, for git LFS, by SHA-256. All repositories share them.

    ``xet_hashes``: the Xet hash of each LFS object that was uploaded by that protocol.
    """

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.blobs: dict[str, bytes] = {}
        self.xet_hashes: dict[str, str] = {}

    def resolve(self, revisions: Mapping[str, Sequence[str]], revision: str) -> Commit:
        """Return the commit of a branch, a tag or an id. Raises LookupError where neither exists."""
        revision = "main" if revision == "HEAD" else revision.removeprefix("refs/heads/")
        return self.commits[revisions[revision][-1] if revision in revisions else revision]

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
        oid = git_oid(content)
        self.blobs[oid] = content
        return TreeEntry(oid, len(content))

    def store_commit(self, title: str, tree: dict[str, TreeEntry], parents: tuple[str, ...]) -> Commit:
        """Store a commit under a new id."""
        commit = Commit(secrets.token_hex(20), title, tree, parents, utc_timestamp())
        self.commits[commit.id] = commit
        return commit

    def apply_operation(self, tree: dict[str, TreeEntry], kind: str, value: Mapping[str, Any]) -> None:
        """Change ``tree`` by one operation of the Hub's commit request.

        ``kind`` is ``file``, ``lfsFile``, ``deletedFile`` or ``deletedFolder``. Raises ValueError for another kind, or
        where the content of an ``lfsFile`` is not stored, FileNotFoundError where what is deleted does not exist.
        """
        path = str(value["path"])
        if kind == "file":
            text = str(value["content"])
            is_base64 = value.get("encoding") == "base64"
            tree[path] = self.store_blob(base64.b64decode(text, validate=True) if is_base64 else text.encode())
        elif kind == "lfsFile":
            tree[path] = self._lfs_entry(path, str(value["oid"]))
        elif kind in {"deletedFile", "deletedFolder"}:
            gone = [path] if kind == "deletedFile" else [at for at in tree if at.startswith(path.rstrip("/") + "/")]
            if not gone or not tree.keys() >= set(gone):
                raise FileNotFoundError(path)
            for at in gone:
                del tree[at]
        else:
            raise ValueError(f"unknown operation {kind!r}")

    def _lfs_entry(self, path: str, sha256: str) -> TreeEntry:
        if sha256 not in self.blobs:
            raise ValueError(f"LFS pointer pointed to a file that does not exist: {path}")
        size = len(self.blobs[sha256])
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return TreeEntry(git_oid(pointer.encode()), size, sha256)


def git_oid(content: bytes) -> str:
    """Return git's object id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
