"""A site's files as Netlify wants them: each path with the SHA-1 of its content."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from abreast.core.errors import PlatformError

_THREADS = min(8, (os.cpu_count() or 1) + 2)


def listed(site: Path) -> dict[str, Path]:
    """Return each file by its path below ``site``, without a leading slash.

    Leaves out dot files (but ``.well-known``) and links that lead outside. Raises PlatformError for a name that
    Netlify cannot serve.
    """
    paths = sorted(_files(site))
    if wrong := [path for path in paths if "#" in path or "?" in path]:
        raise PlatformError(f"Netlify cannot serve {wrong[0]}", need="file names without # and ?")
    return {path: site / path for path in paths}


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-1 of each file's content by its path."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(files, pool.map(_sha1, files.values()), strict=True))


def redirects(routes: Mapping[str, str], addresses: Mapping[str, str], own: str) -> str:
    """Return a ``_redirects`` file that passes paths on to services, and then says what the site's ``own`` does.

    ``routes``: services by path, where ``*`` at the end stands for any rest; ``addresses``: where they answer. A
    path that a file has is passed on all the same. Raises PlatformError for a service without an address.
    """
    lines = []
    for path, service in routes.items():
        if not addresses.get(service):
            raise PlatformError(f"{path} leads to {service}, which has no address", need=f"a {service} that is live")
        lines.append(f"{path} {addresses[service].rstrip('/')}{path.replace('*', ':splat')} 200!")
    return "\n".join([*lines, own])


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
