"""A Space's repository: a tree becomes one commit of what differs, whether it comes from here or from its past."""

import asyncio
import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from abreast.platforms.huggingface.client import MAIN, Entry, Hub, Space
from abreast.platforms.interface import StageRequest

AT_ONCE = 256
"""Files that are asked about in one request, as the Hub's own client has it."""

SAMPLE = 512
CARD, ATTRIBUTES = "README.md", ".gitattributes"
RELEASE = "abreast-release.json"
"""Where the version that runs can read what it is."""

Line = dict[str, object]


async def publish(hub: Hub, space: Space, branch: str, order: StageRequest) -> str:
    """Make the tree of a branch, now at ``space.sha``, that of the order's artifact; return its commit.

    The Space's own card and attributes stay where the artifact has none; a file is added that says what it is, so
    that each version is a commit of its own.
    """
    told = {
        "release": order.env.get("ABREAST_RELEASE", ""), "commit": order.commit, "version": order.version_id,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as beside:
        release = Path(beside, RELEASE)
        release.write_text(json.dumps(told))
        want = {**await asyncio.to_thread(listed, order.artifact_path), RELEASE: release}
        return await _publish(hub, space, branch, order.version_id, want)


async def _publish(hub: Hub, space: Space, branch: str, title: str, want: Mapping[str, Path]) -> str:
    have = await hub.tree(space.id, space.sha)
    changed = await asyncio.to_thread(lambda: {path: file for path, file in want.items() if _differs(have, path, file)})
    gone = [path for path in have if path not in want and path not in {CARD, ATTRIBUTES}]
    large = await _upload(hub, space.id, branch, changed)
    lines = [*(_large(path, *large[path]) for path in large), *_deletions(gone)]
    small = (_small(path, file.read_bytes()) for path, file in changed.items() if path not in large)
    return await _commit(hub, space, branch, title, small, lines)


async def restore(hub: Hub, space: Space, revision: str, title: str) -> str:
    """Make the tree of the main branch, now at ``space.sha``, that of a commit of its past; return its commit."""
    have, want = await asyncio.gather(hub.tree(space.id, space.sha), hub.tree(space.id, revision))
    changed = [entry for path, entry in want.items() if path not in have or have[path].oid != entry.oid]
    contents = {entry.path: await hub.content(space.id, revision, entry.path) for entry in changed if not entry.lfs}
    lines = [_large(entry.path, entry.lfs.oid, entry.lfs.size) for entry in changed if entry.lfs]
    lines += _deletions(path for path in have if path not in want)
    small = (_small(path, content) for path, content in contents.items())
    return await _commit(hub, space, MAIN, title, small, lines)


async def _upload(hub: Hub, id: str, branch: str, files: Mapping[str, Path]) -> dict[str, tuple[str, int]]:
    """Send those files that the Hub wants apart from the commit; return their SHA-256 and size."""
    large: dict[str, tuple[str, int]] = {}
    paths = list(files)
    for start in range(0, len(paths), AT_ONCE):
        asked = [_sample(path, files[path]) for path in paths[start : start + AT_ONCE]]
        for mode in await hub.modes(id, branch, asked):
            if mode.upload == "lfs":
                large[mode.path] = await asyncio.to_thread(_sha256, files[mode.path]), files[mode.path].stat().st_size
    if large:
        by_oid = {oid: files[path] for path, (oid, _) in large.items()}
        for upload in await hub.uploads(id, [{"oid": oid, "size": size} for oid, size in set(large.values())]):
            await hub.upload(upload, by_oid[upload.oid])
    return large


async def _commit(hub: Hub, space: Space, branch: str, title: str, small: Iterable[Line], lines: Iterable[Line]) -> str:
    """Commit on top of ``space.sha``, refused if somebody else was faster; where nothing differs there is none."""
    header: Line = {"summary": title, "description": "", "parentCommit": space.sha}
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as written:
        count = await asyncio.to_thread(_write, written, header, small, lines)
        return await hub.commit(space.id, branch, Path(written.name)) if count else space.sha


def _write(
    to: "tempfile._TemporaryFileWrapper[str]", header: Line, small: Iterable[Line], lines: Iterable[Line]
) -> int:
    to.write(json.dumps({"key": "header", "value": header}) + "\n")
    count = 0
    for many in (small, lines):
        for line in many:
            to.write(json.dumps(line) + "\n")
            count += 1
    to.flush()
    return count


# ── lines of a commit ──────────────────────────────────────────────────────────────────────────


def _small(path: str, content: bytes) -> Line:
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def _large(path: str, oid: str, size: int) -> Line:
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": size}}


def _deletions(paths: Iterable[str]) -> list[Line]:
    return [{"key": "deletedFile", "value": {"path": path}} for path in paths]


# ── files of this machine ──────────────────────────────────────────────────────────────────────


def listed(folder: Path) -> dict[str, Path]:
    """Return the files to be sent by their paths, without links that lead outside and a README that is no card."""
    found = {file.relative_to(folder).as_posix(): file for file in sorted(_files(folder))}
    if CARD in found and not found[CARD].read_bytes().startswith(b"---"):
        del found[CARD]
    return found


def _files(folder: Path) -> Iterator[Path]:
    inside = folder.resolve()
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for file in (Path(base) / name for name in names):
            if file.is_file() and file.resolve().is_relative_to(inside):
                yield file


def _differs(have: Mapping[str, Entry], path: str, file: Path) -> bool:
    entry = have.get(path)
    if entry is None:
        return True
    return entry.lfs.oid != _sha256(file) if entry.lfs else entry.oid != _git_oid(file)


def _git_oid(file: Path) -> str:
    """Return what git names the content by: the SHA-1 of ``blob``, its size and itself."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sample(path: str, file: Path) -> Line:
    with file.open("rb") as opened:
        sample = base64.b64encode(opened.read(SAMPLE)).decode()
    return {"path": path, "sample": sample, "size": file.stat().st_size}
