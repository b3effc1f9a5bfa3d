"""Paths of a service: relative to its `folder` in abreast.yml, relative to the project in the core."""

import posixpath
from collections.abc import Iterable
from typing import overload

from abreast.config import schema


def service_folder(config: schema.Service) -> str:
    """Return the folder in which a service's commands run, relative to the project; "" is the project's own."""
    return posixpath.normpath(config.folder or ".").removeprefix(".")


@overload
def in_folder(folder: str, path: str) -> str: ...
@overload
def in_folder(folder: str, path: None) -> None: ...
def in_folder(folder: str, path: str | None) -> str | None:
    """Return a service's path relative to the project."""
    return None if path is None else posixpath.normpath(posixpath.join(folder, path))


def globs_in_folder(folder: str, globs: Iterable[str]) -> tuple[str, ...]:
    """Return a service's globs relative to the project. Those that exclude files still do."""
    return tuple(_glob_in_folder(folder, glob) for glob in globs)


def watched_globs(config: schema.Service) -> tuple[str, ...]:
    """Return the globs of the files that count for a service: its folder's, if it names none."""
    folder = service_folder(config)
    return tuple(config.watch) or ((f"{folder}/**",) if folder else ())


def _glob_in_folder(folder: str, glob: str) -> str:
    if glob.startswith("!") and not glob.startswith("!("):
        return f"!{posixpath.join(folder, glob[1:])}"
    return posixpath.join(folder, glob)
