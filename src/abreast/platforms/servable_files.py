"""Which files of a built site users may get."""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISLNK, S_ISREG

PUBLIC_DOT_FOLDER = ".well-known"
"""See RFC 8615."""


def servable_files(site: Path) -> Iterator[str]:
    """Yield the files that users may get, by path below ``site``, with slashes.

    Skips dot files, except those in ``.well-known``, and links to such files or to outside.
    """
    root = site.resolve()
    for base, folders, files in os.walk(site):
        folders[:] = [name for name in folders if _is_public(name)]
        below = "" if base == str(site) else f"{Path(base).relative_to(site).as_posix()}/"
        for name in files:
            if not name.startswith(".") and _leads_to_public_file(f"{base}/{name}", root):
                yield below + name


def _is_public(folder: str) -> bool:
    return not folder.startswith(".") or folder == PUBLIC_DOT_FOLDER


def _leads_to_public_file(path: str, root: Path) -> bool:
    mode = os.lstat(path).st_mode
    if not S_ISLNK(mode):
        return S_ISREG(mode)
    target = Path(path).resolve()
    if not target.is_file() or not target.is_relative_to(root):
        return False
    *folders, name = target.relative_to(root).parts
    return not name.startswith(".") and all(map(_is_public, folders))
