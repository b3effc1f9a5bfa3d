"""A frontend's folder as the router serves it: one tree for each encoding, old assets carried forward."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PLAIN = "plain"
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Content encodings, best first, and the ending of the files that a build makes for them."""

_HASHED_NAME = re.compile(r"[.-](?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{8,}\.[a-z0-9]+(\.map)?$")


def is_hashed(name: str) -> bool:
    """Whether a file's name holds a hash of its content (``app.3f2a9c1b.js``, ``index-BxY3k2_9.css``)."""
    return _HASHED_NAME.search(name) is not None


def install_site(artifact: Path, previous: Path | None, into: Path) -> None:
    """Lay a site out in ``into``, whole or not at all; nothing changes when it is there already.

    Leaves out dot files and links that lead outside. Hashed files of the ``previous`` site stay, so that
    pages open in a browser find what they were built with.
    """
    if into.exists():
        return
    unfinished = into.with_name(f".{into.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for file in _servable_files(artifact):
        _install_file(artifact / file, unfinished, file)
    if previous and previous.is_dir():
        _carry_over_assets(previous, unfinished)
    (unfinished / PLAIN).mkdir(parents=True, exist_ok=True)
    unfinished.rename(into)


def _install_file(source: Path, site: Path, file: Path) -> None:
    for encoding, ending in ENCODINGS.items():
        if file.suffix == ending and (original := source.with_suffix("")).is_file():
            _link_or_copy(source, site / encoding / file.with_name(original.name))
            return
    _link_or_copy(source, site / PLAIN / file)


def _carry_over_assets(previous: Path, site: Path) -> None:
    new = set(_servable_files(site / PLAIN))
    for tree in (PLAIN, *ENCODINGS):
        for file in _servable_files(previous / tree):
            if is_hashed(file.name) and file not in new:
                _link_or_copy(previous / tree / file, site / tree / file)


def _link_or_copy(source: Path, target: Path) -> None:
    """Copy cheaply; a served file is never written to, so the two can share their content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)


def _servable_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that may be served, relative to it, in order."""
    inside = folder.resolve()
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") or name == ".well-known")
        for name in sorted(files):
            file = Path(base) / name
            if not name.startswith(".") and file.is_file() and file.resolve().is_relative_to(inside):
                yield file.relative_to(folder)
