"""Installs a frontend for the router: one tree per encoding, with old assets carried forward."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from abreast.platforms.servable_files import servable_files

PLAIN = "plain"
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Content encodings, best first, with the suffix of precompressed files."""

_HASHED_NAME = re.compile(r"[.-](?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{8,}\.[a-z0-9]+(\.map)?$")


def is_hashed(name: str) -> bool:
    """Return whether a file's name contains a hash of its content (``app.3f2a9c1b.js``, ``index-BxY3k2_9.css``)."""
    return _HASHED_NAME.search(name) is not None


def install_site(artifact: Path, previous: Path | None, into: Path) -> None:
    """Install a site in ``into``, atomically. Does nothing if it exists.

    Skips what ``servable_files`` skips. Keeps hashed files of ``previous``, so that open pages can still load
    their assets.
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
    """Hard-link, or copy across file systems. Served files are never written to, so they can share content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)


def _servable_files(folder: Path) -> list[Path]:
    return [Path(file) for file in sorted(servable_files(folder))]
