"""Large files of a Space's repository, which git LFS stores apart from the commit."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from abreast.core.errors import PlatformError
from abreast.machine.tasks import run_all
from abreast.platforms.huggingface.client import HubClient, Upload

T = TypeVar("T")

BATCH_SIZE = 256
"""Files per request for upload modes or upload targets, the most that the Hub takes."""

SAMPLE_SIZE, MAX_CONCURRENT = 512, 5
LargeFiles = Mapping[str, tuple[str, int]]
"""The SHA-256 and the size of large files by path."""


async def upload_large_files(hub: HubClient, id: str, branch: str, files: Mapping[str, Path]) -> LargeFiles:
    """Upload the files that belong in LFS, and return them. Raises PlatformError that names each refused file."""
    large: dict[str, tuple[str, int]] = {}
    for paths in _batches(list(files)):
        for mode in await hub.get_upload_modes(id, branch, [_sample(path, files[path]) for path in paths]):
            size = files[mode.path].stat().st_size
            if mode.upload == "lfs" and size:  # the storage takes no empty file
                large[mode.path] = await asyncio.to_thread(sha256, files[mode.path]), size
    paths_by_oid: dict[str, list[str]] = {}
    for path, (oid, _) in large.items():
        paths_by_oid.setdefault(oid, []).append(path)
    uploads = [
        upload
        for objects in _batches(sorted(set(large.values())))
        for upload in await hub.request_uploads(id, branch, [{"oid": oid, "size": size} for oid, size in objects])
    ]
    _raise_for_refused(id, uploads, paths_by_oid)
    limit = asyncio.Semaphore(MAX_CONCURRENT)
    await run_all(*(_upload(hub, upload, files[paths_by_oid[upload.oid][0]], limit) for upload in uploads))
    return large


def _raise_for_refused(id: str, uploads: Sequence[Upload], paths_by_oid: Mapping[str, list[str]]) -> None:
    reasons = {upload.oid: f"{upload.error.message} ({upload.error.code})" for upload in uploads if upload.error}
    unanswered = dict.fromkeys(paths_by_oid.keys() - {upload.oid for upload in uploads}, "no answer for this file")
    refused = [f"{path}: {why}" for oid, why in {**reasons, **unanswered}.items() for path in paths_by_oid[oid]]
    if refused:
        raise PlatformError(
            f"Hugging Face does not store {len(refused)} of the files: {'; '.join(sorted(refused))}",
            need="space for them in the account's storage, or fewer and smaller files",
            next=f"see https://huggingface.co/spaces/{id}/settings, or leave the files out of the service's output",
        )


async def _upload(hub: HubClient, upload: Upload, file: Path, limit: asyncio.Semaphore) -> None:
    async with limit:
        await hub.upload_file(upload, file)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, by which LFS names it."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sample(path: str, file: Path) -> dict[str, object]:
    with file.open("rb") as opened:
        sample = base64.b64encode(opened.read(SAMPLE_SIZE)).decode()
    return {"path": path, "sample": sample, "size": file.stat().st_size}


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH_SIZE] for start in range(0, len(items), BATCH_SIZE))
