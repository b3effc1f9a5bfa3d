"""A Space's repository: commits the difference to a local tree, or to an earlier commit."""

import asyncio
import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from abreast.platforms.huggingface.client import MAIN_BRANCH, HubClient, Space, TreeEntry
from abreast.platforms.interface import StageRequest

PREUPLOAD_BATCH_SIZE = 256
"""Files per preupload request, as in the Hub's own client."""

SAMPLE_SIZE = 512
CARD_FILE, ATTRIBUTES_FILE = "README.md", ".gitattributes"
RELEASE_FILE = "abreast-release.json"
"""The file from which a running version can read its release and commit."""

CommitLine = dict[str, object]


async def publish(hub: HubClient, space: Space, branch: str, request: StageRequest) -> str:
    """Commit the request's artifact to a branch, now at ``space.sha``. Returns the commit.

    Keeps the Space's card and attributes if the artifact has none. Adds ``RELEASE_FILE``, so that each version is a
    commit of its own.
    """
    release_info = {
        "release": request.env.get("ABREAST_RELEASE", ""), "commit": request.commit, "version": request.version_id,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        release = Path(folder, RELEASE_FILE)
        release.write_text(json.dumps(release_info))
        want = {**await asyncio.to_thread(list_files, request.artifact_path), RELEASE_FILE: release}
        return await _commit_files(hub, space, branch, request.version_id, want)


async def _commit_files(hub: HubClient, space: Space, branch: str, title: str, want: Mapping[str, Path]) -> str:
    have = await hub.get_tree(space.id, space.sha)
    changed = await asyncio.to_thread(lambda: {path: file for path, file in want.items() if _differs(have, path, file)})
    gone = [path for path in have if path not in want and path not in {CARD_FILE, ATTRIBUTES_FILE}]
    large = await _upload_large_files(hub, space.id, branch, changed)
    lines = [*(_lfs_file_line(path, *large[path]) for path in large), *_deletion_lines(gone)]
    small = (_regular_file_line(path, file.read_bytes()) for path, file in changed.items() if path not in large)
    return await _commit(hub, space, branch, title, small, lines)


async def restore(hub: HubClient, space: Space, revision: str, title: str) -> str:
    """Commit the tree of ``revision`` to the main branch, now at ``space.sha``. Returns the commit."""
    have, want = await asyncio.gather(hub.get_tree(space.id, space.sha), hub.get_tree(space.id, revision))
    changed = [entry for path, entry in want.items() if path not in have or have[path].oid != entry.oid]
    contents = {entry.path: await hub.get_file(space.id, revision, entry.path) for entry in changed if not entry.lfs}
    lines = [_lfs_file_line(entry.path, entry.lfs.oid, entry.lfs.size) for entry in changed if entry.lfs]
    lines += _deletion_lines(path for path in have if path not in want)
    small = (_regular_file_line(path, content) for path, content in contents.items())
    return await _commit(hub, space, MAIN_BRANCH, title, small, lines)


async def _upload_large_files(
    hub: HubClient, id: str, branch: str, files: Mapping[str, Path]
) -> dict[str, tuple[str, int]]:
    """Upload the files that belong in LFS. Returns their SHA-256 and size by path."""
    large: dict[str, tuple[str, int]] = {}
    paths = list(files)
    for start in range(0, len(paths), PREUPLOAD_BATCH_SIZE):
        samples = [_preupload_sample(path, files[path]) for path in paths[start : start + PREUPLOAD_BATCH_SIZE]]
        for mode in await hub.get_upload_modes(id, branch, samples):
            if mode.upload == "lfs":
                large[mode.path] = await asyncio.to_thread(_sha256, files[mode.path]), files[mode.path].stat().st_size
    if large:
        by_oid = {oid: files[path] for path, (oid, _) in large.items()}
        for upload in await hub.request_uploads(id, [{"oid": oid, "size": size} for oid, size in set(large.values())]):
            await hub.upload_file(upload, by_oid[upload.oid])
    return large


async def _commit(
    hub: HubClient, space: Space, branch: str, title: str, small: Iterable[CommitLine], lines: Iterable[CommitLine]
) -> str:
    """Commit on top of ``space.sha``. Returns the new SHA, or ``space.sha`` if nothing differs.

    Raises ConflictError if the branch has moved.
    """
    header: CommitLine = {"summary": title, "description": "", "parentCommit": space.sha}
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as written:
        count = await asyncio.to_thread(_write_commit, written, header, small, lines)
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
    return entry.lfs.oid != _sha256(file) if entry.lfs else entry.oid != _git_oid(file)


def _git_oid(file: Path) -> str:
    """Return the git object id of a file (blob)."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _preupload_sample(path: str, file: Path) -> CommitLine:
    with file.open("rb") as opened:
        sample = base64.b64encode(opened.read(SAMPLE_SIZE)).decode()
    return {"path": path, "sample": sample, "size": file.stat().st_size}
