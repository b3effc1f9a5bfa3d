"""A folder as one compressed file, and back."""

import sys
import tarfile
from pathlib import Path
from typing import IO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def pack(folder: Path, into: IO[bytes]) -> None:
    """Write all that is in the folder, in order of path, so that the same content is the same archive but for times."""
    with zstd.open(into, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)


def unpack(file: IO[bytes], into: Path) -> None:
    """Put an archive's content into a new folder; nothing of it gets a place outside."""
    into.mkdir()
    with zstd.open(file, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        archive.extractall(into, filter="data")
