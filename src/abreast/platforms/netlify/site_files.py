"""A site's files by path, with the SHA-1 digests that Netlify's API takes."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.platforms.servable_files import servable_files
from abreast.platforms.service_routes import route_rules

_BATCH_SIZE = 100
"""Files per thread task."""

_SMALL_FILE_SIZE = 1 << 20
"""Maximum size in bytes of a file that is read in one go."""

_THREADS = min(8, (os.cpu_count() or 1) + 2)


def list_files(site: Path) -> dict[str, Path]:
    """Return each file by its path below ``site``, without a leading slash.

    Raises PlatformError for a name that Netlify cannot serve.
    """
    paths = sorted(servable_files(site))
    if wrong := [path for path in paths if "#" in path or "?" in path]:
        raise PlatformError(f"Netlify cannot serve the file {wrong[0]}", need="file names without # and ?")
    return {path: site / path for path in paths}


def file_digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return each file's SHA-1 by path."""
    paths = list(files)
    parts = [paths[start : start + _BATCH_SIZE] for start in range(0, len(paths), _BATCH_SIZE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(lambda part: [_sha1(files[path]) for path in part], parts)
        return dict(zip(paths, chain.from_iterable(digests), strict=True))


def render_redirects(routes: Mapping[str, str], addresses: Mapping[str, str], own: str) -> str:
    """Return a ``_redirects`` file: proxies for ``routes``, then the site's ``own`` rules.

    ``routes`` and ``addresses`` are as in ``route_rules``.
    """
    rules = route_rules(routes, addresses)
    return "\n".join([*(f"{rule.path} {rule.to} {rule.status}!" for rule in rules), own])


def _sha1(file: Path) -> str:
    if file.stat().st_size <= _SMALL_FILE_SIZE:
        return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
