"""Pack a folder into one compressed archive, and unpack it."""

import sys
import tarfile
from pathlib import Path
from typing import IO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def pack(folder: Path, into: IO[bytes]) -> None:
    """Write a folder's content, sorted by path: equal content gives an equal archive, apart from times."""
    with zstd.open(into, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)


def unpack(file: IO[bytes], into: Path) -> None:
    """Extract an archive into the new folder ``into``; no entry can escape it."""
    into.mkdir()
    with zstd.open(file, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        archive.extractall(into, filter="data")
