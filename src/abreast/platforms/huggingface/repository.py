"""A Space's repository: commits the difference to a local tree, or to an earlier commit."""

import asyncio
import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path

from abreast.core.errors import TransientError
from abreast.machine.tasks import run_all
from abreast.platforms.huggingface.client import MAIN_BRANCH, HubClient, Space, TreeEntry
from abreast.platforms.huggingface.large_files import sha256, upload_large_files
from abreast.platforms.interface import StageRequest

MAX_CONCURRENT_DOWNLOADS = 5
CARD_FILE, ATTRIBUTES_FILE = "README.md", ".gitattributes"
RELEASE_FILE = "abreast-release.json"
"""The file from which a running version can read its release and commit."""

CommitLine = dict[str, object]


async def publish(hub: HubClient, space: Space, branch: str, request: StageRequest, card: Path | None = None) -> str:
    """Commit the request's artifact, or its service's folder of it, to a branch, now at ``space.sha``.

    Returns the commit.

    Keeps the Space's card and attributes if the artifact has none, or uses ``card``. Adds ``RELEASE_FILE``, so that
    each version is a commit of its own.
    """
    release_info = {
        "release": request.env.get("ABREAST_RELEASE", ""), "commit": request.commit, "version": request.version_id,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        release = Path(folder, RELEASE_FILE)
        release.write_text(json.dumps(release_info))
        top = request.artifact_path / request.service.artifact_folder
        default = {CARD_FILE: card} if card else {}
        want = {**default, **await asyncio.to_thread(list_files, top), RELEASE_FILE: release}
        return await _commit_files(hub, space, branch, request.version_id, want)


async def _commit_files(hub: HubClient, space: Space, branch: str, title: str, want: Mapping[str, Path]) -> str:
    have = await hub.get_tree(space.id, space.sha)
    changed = await asyncio.to_thread(lambda: {path: file for path, file in want.items() if _differs(have, path, file)})
    gone = [path for path in have if path not in want and path not in {CARD_FILE, ATTRIBUTES_FILE}]
    large = await upload_large_files(hub, space.id, branch, changed)
    lines = [*(_lfs_file_line(path, *large[path]) for path in large), *_deletion_lines(gone)]
    small = (_regular_file_line(path, file.read_bytes()) for path, file in changed.items() if path not in large)
    return await _commit(hub, space, branch, title, small, lines)


async def restore(
    hub: HubClient, space: Space, revision: str, title: str, before_commit: Callable[[], Awaitable[None]]
) -> str:
    """Commit the tree of ``revision`` to the main branch, now at ``space.sha``. Returns the commit.

    ``before_commit`` is called once the commit is ready to be sent, or when nothing differs.

    Only what differs is in the commit. A large file is named by its digest; the Hub has no way to name a small one,
    so each distinct content is fetched and sent once.
    """
    have, want = await asyncio.gather(hub.get_tree(space.id, space.sha), hub.get_tree(space.id, revision))
    changed = [entry for path, entry in want.items() if path not in have or have[path].oid != entry.oid]
    regular = [entry for entry in changed if not entry.lfs]
    contents = await _download(hub, space.id, revision, {entry.oid: entry.path for entry in regular})
    lines = [_lfs_file_line(entry.path, entry.lfs.oid, entry.lfs.size) for entry in changed if entry.lfs]
    lines += _deletion_lines(path for path in have if path not in want)
    small = (_regular_file_line(entry.path, contents[entry.oid]) for entry in regular)
    return await _commit(hub, space, MAIN_BRANCH, title, small, lines, before_commit)


async def _download(hub: HubClient, id: str, revision: str, paths: Mapping[str, str]) -> dict[str, bytes]:
    """Return the contents of files by their git object ids; ``paths`` says where each is. Several at a time."""
    limit = asyncio.Semaphore(MAX_CONCURRENT_DOWNLOADS)

    async def download(oid: str, path: str) -> tuple[str, bytes]:
        async with limit:
            content = await hub.get_file(id, revision, path)
        if _git_oid(content) != oid:
            raise TransientError(f"Hugging Face: {path} of {id} did not arrive whole")
        return oid, content

    return dict(await run_all(*(download(oid, path) for oid, path in paths.items())))


async def _nothing() -> None:
    """Do nothing."""


async def _commit(
    hub: HubClient, space: Space, branch: str, title: str, small: Iterable[CommitLine], lines: Iterable[CommitLine],
    before: Callable[[], Awaitable[None]] = _nothing,
) -> str:  # fmt: skip
    """Commit on top of ``space.sha``. Returns the new SHA, or ``space.sha`` if nothing differs.

    Raises ConflictError if the branch has moved.
    """
    header: CommitLine = {"summary": title, "description": "", "parentCommit": space.sha}
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as written:
        count = await asyncio.to_thread(_write_commit, written, header, small, lines)
        await before()
        return await hub.create_commit(space.id, branch, Path(written.name)) if count else space.sha


def _write_commit(
    to: "tempfile._TemporaryFileWrapper[str]",
    header: CommitLine,
    small: Iterable[CommitLine],
    lines: Iterable[CommitLine],
) -> int:
    to.write(json.dumps({"key": "header", "value": header}) + "\n")
    count = 0
    for group in (small, lines):
        for line in group:
            to.write(json.dumps(line) + "\n")
            count += 1
    to.flush()
    return count


# ── lines of a commit ──────────────────────────────────────────────────────────────────────────


def _regular_file_line(path: str, content: bytes) -> CommitLine:
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def _lfs_file_line(path: str, oid: str, size: int) -> CommitLine:
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": size}}


def _deletion_lines(paths: Iterable[str]) -> list[CommitLine]:
    return [{"key": "deletedFile", "value": {"path": path}} for path in paths]


# ── local files ───────────────────────────────────────────────────────────────────────────────


def list_files(folder: Path) -> dict[str, Path]:
    """Return the files to upload by path, without links to outside and without a README that is no card."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(_walk_files(folder))}
    if CARD_FILE in files and not files[CARD_FILE].read_bytes().startswith(b"---"):
        del files[CARD_FILE]
    return files


def _walk_files(folder: Path) -> Iterator[Path]:
    inside = folder.resolve()
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for file in (Path(base) / name for name in names):
            if file.is_file() and file.resolve().is_relative_to(inside):
                yield file


def _differs(have: Mapping[str, TreeEntry], path: str, file: Path) -> bool:
    entry = have.get(path)
    if entry is None:
        return True
    return entry.lfs.oid != sha256(file) if entry.lfs else entry.oid != _git_oid(file.read_bytes())


def _git_oid(content: bytes) -> str:
    """Return the git object id of a file's content (blob)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
