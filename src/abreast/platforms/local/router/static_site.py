"""Installs a frontend for the router: one tree per encoding, with old assets carried forward, and its tables."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from abreast.core.site_rules.rules import RULE_FILES, SiteRules, parse_rules
from abreast.core.site_rules.site import StaticSite
from abreast.platforms.local.router.site_tables import lua_literal, site_tables
from abreast.platforms.servable_files import servable_files

PLAIN = "plain"
TABLES = "tables.lua"
"""The file that the router's script reads."""

ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Content encodings, best first, with the suffix of precompressed files."""

_HASHED_NAME = re.compile(r"[.-](?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{8,}\.[a-z0-9]+(\.map)?$")


def is_hashed(name: str) -> bool:
    """Return whether a file's name contains a hash of its content (``app.3f2a9c1b.js``, ``index-BxY3k2_9.css``)."""
    return _HASHED_NAME.search(name) is not None


def read_rules(artifact: Path) -> SiteRules:
    """Return the rules of a site, from the files that it brings."""
    files = {name: artifact / name for name in RULE_FILES}
    return parse_rules({name: file.read_text(errors="replace") for name, file in files.items() if file.is_file()})


def install_site(artifact: Path, rules: SiteRules, etag: str, previous: Path | None, into: Path) -> None:
    """Install a site in ``into``, atomically. Does nothing if it exists. ``etag`` changes with its content.

    Skips what ``servable_files`` skips. Keeps hashed files of ``previous``, so that open pages can still load
    their assets.
    """
    if into.exists():
        return
    unfinished = into.with_name(f".{into.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for file in _servable_files(artifact):
        if file.as_posix() not in RULE_FILES:
            _install_file(artifact / file, unfinished, file)
    if previous and previous.is_dir():
        _carry_over_assets(previous, unfinished)
    (unfinished / PLAIN).mkdir(parents=True, exist_ok=True)
    _write_tables(unfinished, rules, etag)
    unfinished.rename(into)


def _write_tables(site: Path, rules: SiteRules, etag: str) -> None:
    trees = {tree: [file.as_posix() for file in _servable_files(site / tree)] for tree in (PLAIN, *ENCODINGS)}
    encodings: dict[str, list[str]] = {}
    for encoding in ENCODINGS:
        for file in trees[encoding]:
            encodings.setdefault(file, []).append(encoding)
    tables = site_tables(StaticSite(trees[PLAIN], rules), etag, encodings, list(filter(is_hashed, trees[PLAIN])))
    (site / TABLES).write_text(f"return {lua_literal(tables)}\n")


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
