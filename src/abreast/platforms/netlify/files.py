"""A site's files as Netlify wants them: each path with the SHA-1 of its content."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from abreast.core.errors import PlatformError

_THREADS = min(8, (os.cpu_count() or 1) + 2)


def digests(site: Path) -> Mapping[str, str]:
    """Return the SHA-1 of each file by its path below ``site``, without a leading slash.

    Leaves out dot files (but ``.well-known``) and links that lead outside. Raises PlatformError for a name that
    Netlify cannot serve.
    """
    paths = sorted(_files(site))
    if wrong := [path for path in paths if "#" in path or "?" in path]:
        raise PlatformError(f"Netlify cannot serve {wrong[0]}", need="file names without # and ?")
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(paths, pool.map(lambda path: _sha1(site / path), paths), strict=True))


def _files(site: Path) -> Iterator[str]:
    inside = site.resolve()
    for base, folders, files in os.walk(site):
        folders[:] = [name for name in folders if not name.startswith(".") or name == ".well-known"]
        for name in files:
            file = Path(base) / name
            if not name.startswith(".") and file.is_file() and file.resolve().is_relative_to(inside):
                yield file.relative_to(site).as_posix()


def _sha1(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
