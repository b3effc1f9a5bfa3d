"""Whether a lock file has all that package.json asks for: a frozen installation refuses one that has not."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from abreast.detection.repository import YAML_LOADER

Manifests = Mapping[str, Mapping[str, Any]]
"""The package.json of each package that a lock file is for, by its folder as seen from there, "" for its own."""

_KINDS = ("dependencies", "devDependencies", "optionalDependencies")
_BESIDE = re.compile(r"(workspace|link|file|portal|catalog):")
"""Ranges of packages that are not locked, or not by the words of package.json."""


def missing_peer(lock: str) -> str:
    """Return a peer dependency that a package-lock.json lacks, "" if it has all: `npm ci` takes no such file by itself.

    npm writes one with ``legacy-peer-deps`` only. https://docs.npmjs.com/cli/configuring-npm/package-lock-json
    """
    listed = _mapping(lock).get("packages") or {}
    packages = {path: entry for path, entry in listed.items() if isinstance(entry, dict)}
    names = {path.rpartition("node_modules/")[2] for path in packages}
    for path, entry in packages.items():
        optional = {name for name, meta in entry.get("peerDependenciesMeta", {}).items() if meta.get("optional")}
        missing = entry.get("peerDependencies", {}).keys() - names - optional
        if path and missing:
            return str(min(missing))
    return ""


def missing_package(manager: str, lock: str, manifests: Manifests) -> str | None:
    """Return a package that a lock file lacks, "" if it has all; None if that cannot be told of such a file."""
    return _READERS[manager](lock, manifests)


def _missing_in_npm_lock(lock: str, manifests: Manifests) -> str | None:
    content = _mapping(lock)
    packages, older = content.get("packages") or {}, content.get("dependencies") or {}
    if "" not in packages and not older:
        return None
    places = packages.keys() or {f"node_modules/{name}" for name in older}
    for folder, name, _ in _wanted(manifests):
        if f"node_modules/{name}" not in places and f"{folder}/node_modules/{name}" not in places:
            return name
    return ""


def _missing_in_pnpm_lock(lock: str, manifests: Manifests) -> str | None:
    """Overrides and hooks change ranges, and nothing is said of them.

    https://pnpm.io/cli/install#--frozen-lockfile
    """
    if re.search(r"^(overrides|packageExtensionsChecksum|pnpmfileChecksum):", lock, re.MULTILINE):
        return None
    keys = "|".join(("importers", "specifiers", *_KINDS))
    content = _mapping("".join(re.findall(rf"^(?:{keys}):\n(?:[ \t]+.*\n|\n)+", lock, re.MULTILINE)))
    if not content:
        return None
    importers = content.get("importers") or {".": content}
    for folder, name, wanted in _wanted(manifests):
        importer = importers.get(folder or ".") or {}
        entries = [(importer.get(kind) or {}).get(name) for kind in ("specifiers", *_KINDS)]
        if wanted not in [entry.get("specifier") if isinstance(entry, dict) else entry for entry in entries]:
            return name
    return ""


def _missing_in_yarn_lock(lock: str, manifests: Manifests) -> str | None:
    """Yarn 1 looks at the root's packages only."""
    if "# yarn lockfile v1" not in lock or "resolutions" in manifests[""]:
        return None
    own = {"": manifests[""]}
    return next((name for _, name, wanted in _wanted(own) if f"{name}@{wanted}" not in lock), "")


def _missing_in_bun_lock(lock: str, manifests: Manifests) -> str | None:
    workspaces = _mapping(lock).get("workspaces") or {}
    if not workspaces:
        return None
    for folder, name, wanted in _wanted(manifests):
        own = workspaces.get(folder) or {}
        if wanted not in [(own.get(kind) or {}).get(name) for kind in _KINDS]:
            return name
    return ""


_READERS: Mapping[str, Callable[[str, Manifests], str | None]] = {
    "npm": _missing_in_npm_lock, "pnpm": _missing_in_pnpm_lock, "yarn": _missing_in_yarn_lock,
    "bun": _missing_in_bun_lock,
}  # fmt: skip


def _wanted(manifests: Manifests) -> Iterator[tuple[str, str, str]]:
    """Yield the folder, the name and the range of each package that is wanted from a registry."""
    for folder, manifest in manifests.items():
        for kind in _KINDS:
            named = manifest.get(kind)
            for name, wanted in named.items() if isinstance(named, dict) else ():
                if isinstance(wanted, str) and not _BESIDE.match(wanted):
                    yield folder, name, wanted


def _mapping(text: str) -> Mapping[str, Any]:
    """Return a file in JSON or YAML, {} if it is none: JSON that ends lists with a comma is YAML."""
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = yaml.load(text, Loader=YAML_LOADER)  # noqa: S506 (it is a safe one)
        except yaml.YAMLError:
            return {}
    return found if isinstance(found, dict) else {}
