"""Workspaces of npm, pnpm, yarn and uv: which folders of a repository a package of it is made from."""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from abreast.core.watch import decide

MANIFESTS = frozenset({"package.json", "pnpm-workspace.yaml", "pyproject.toml"})
LOCKS = {
    "package.json": ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"),
    "pyproject.toml": ("uv.lock", "poetry.lock", "pdm.lock"),
}
"""Lock files beside each kind of manifest."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Package:
    """A folder with a manifest; ``needs``: names, or folders of this repository, that it is made with."""

    folder: str
    manifest: str
    name: str
    needs: tuple[str, ...]
    members: tuple[str, ...]


def reached(watch: Sequence[str], packages: Sequence[Package], files: Collection[str]) -> tuple[str, ...]:
    """Return patterns of what a service is made from beside what it watches: packages of its workspace, lock files.

    The service's packages are those whose manifest it watches; without one, those nearest above what it watches.
    """
    own = [one for one in packages if decide(watch, [_beside(one.folder, one.manifest)])] or list(
        _above(watch, packages)
    )
    found: dict[str, None] = {}
    for package in own:
        for other in _with_needs(package, packages):
            if other.folder and other not in own:
                found[f"{other.folder}/**"] = None
        found |= dict.fromkeys(_locks(package, packages, files))
    return tuple(pattern for pattern in found if not decide(watch, [pattern.removesuffix("/**")]))


def _with_needs(package: Package, packages: Sequence[Package]) -> list[Package]:
    """Return the packages that one is made from, itself the first."""
    found, left = [package], [package]
    while left:
        needs = left.pop().needs
        more = [
            one
            for one in packages
            if one.manifest == package.manifest
            and one not in found
            and (one.name in needs or f"./{one.folder}" in needs)
        ]
        found += more
        left += more
    return found


def _locks(package: Package, packages: Sequence[Package], files: Collection[str]) -> Iterator[str]:
    """Yield the lock files, and the workspace's own manifest, that settle what a package is made with."""
    roots = [one for one in packages if one.manifest == package.manifest and _is_member(package, one)]
    for folder in dict.fromkeys((package.folder, *(root.folder for root in roots))):
        names = (*LOCKS[package.manifest], package.manifest, "pnpm-workspace.yaml")
        yield from (path for name in names if (path := _beside(folder, name)) in files)


def _is_member(package: Package, root: Package) -> bool:
    below = PurePosixPath(package.folder)
    if not root.members or package.folder == root.folder or not below.is_relative_to(root.folder):
        return False
    return bool(decide(root.members, [str(below.relative_to(root.folder))]))


def _above(watch: Sequence[str], packages: Sequence[Package]) -> Iterator[Package]:
    for pattern in watch:
        literal = re.split(r"[*?{\[(!@+]", pattern)[0]
        folders = [str(one) for one in PurePosixPath(literal + "x").parents if not pattern.startswith("!")]
        nearest = next((folder for folder in folders if any(_at(one, folder) for one in packages)), None)
        yield from (one for one in packages if nearest is not None and _at(one, nearest))


def _at(package: Package, folder: str) -> bool:
    return package.folder == ("" if folder == "." else folder)


def unsettled(known: Sequence[Package], files: Collection[str]) -> tuple[str, ...]:
    """Return the manifests that ask for packages which no lock file, beside them or above, nor requirements settle."""
    return tuple(
        _beside(one.folder, one.manifest)
        for one in known
        if one.needs and not any(_settles(PurePosixPath(file), one) for file in files)
    )


def _settles(file: PurePosixPath, package: Package) -> bool:
    named = file.name in LOCKS[package.manifest]
    listed = package.manifest == "pyproject.toml" and file.match("requirements*.txt")
    return (named or listed) and PurePosixPath(package.folder).is_relative_to(file.parent)


def packages(contents: Mapping[str, bytes]) -> tuple[Package, ...]:
    """Return the packages that manifests describe, by their paths; what cannot be read describes none."""
    found = [_package(path, content, contents) for path, content in contents.items()]
    return tuple(sorted((one for one in found if one), key=lambda one: one.folder))


def _package(path: str, content: bytes, contents: Mapping[str, bytes]) -> Package | None:
    folder, manifest = str(PurePosixPath(path).parent).removeprefix("."), PurePosixPath(path).name
    try:
        if manifest == "package.json":
            return _of_node(folder, json.loads(content), contents.get(_beside(folder, "pnpm-workspace.yaml")))
        if manifest == "pyproject.toml":
            return _of_python(folder, tomllib.loads(content.decode()))
    except (ValueError, TypeError, AttributeError, yaml.YAMLError):
        pass
    return None


def _of_node(folder: str, said: dict[str, Any], pnpm: bytes | None) -> Package:
    kinds = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
    wanted = {name: str(version) for kind in kinds for name, version in (said.get(kind) or {}).items()}
    members = said.get("workspaces") or ()
    members = members.get("packages", ()) if isinstance(members, dict) else members
    if pnpm is not None:
        members = (yaml.safe_load(pnpm) or {}).get("packages", ())
    paths = [_linked(folder, text) for text in wanted.values()]
    return Package(folder, "package.json", said.get("name", ""), (*wanted, *filter(None, paths)), _members(members))


def _linked(folder: str, version: str) -> str:
    """Return the folder that a version such as ``file:../ui`` names, as ``./…`` from the repository's top."""
    kind, _, path = version.partition(":")
    return _inside(folder, path) if kind in {"file", "link", "portal"} else ""


def _of_python(folder: str, said: dict[str, Any]) -> Package:
    project, uv = said.get("project", {}), said.get("tool", {}).get("uv", {})
    groups = [*project.get("optional-dependencies", {}).values(), *said.get("dependency-groups", {}).values()]
    texts = [text for group in (project.get("dependencies", []), *groups) for text in group if isinstance(text, str)]
    names = [_normal(found[0]) for text in texts if (found := _NAME.match(text))]
    sources = [source for source in uv.get("sources", {}).values() if isinstance(source, dict)]
    paths = [_inside(folder, source["path"]) for source in sources if "path" in source]
    workspace = uv.get("workspace", {})
    members = _members([*workspace.get("members", ()), *(f"!{one}" for one in workspace.get("exclude", ()))])
    return Package(folder, "pyproject.toml", _normal(project.get("name", "")), (*names, *paths), members)


def _members(said: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of folders; a workspace of exclusions only has no members."""
    patterns = tuple(str(one).rstrip("/") for one in said)
    return patterns if any(not one.startswith("!") for one in patterns) else ()


def _normal(name: str) -> str:
    """Return a Python package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _inside(folder: str, path: str) -> str:
    parts: list[str] = []
    for part in (*PurePosixPath(folder).parts, *PurePosixPath(path).parts):
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "./" + "/".join(parts)


def _beside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
