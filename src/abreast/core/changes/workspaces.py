"""Workspaces of npm, pnpm, yarn and uv: the folders that a package depends on."""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from abreast.core.changes.watch_patterns import match_files
from abreast.core.frozen_dataclass import dataclass

MANIFESTS = frozenset({"package.json", "pnpm-workspace.yaml", "pyproject.toml"})
LOCK_FILES = {
    "package.json": ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"),
    "pyproject.toml": ("uv.lock", "poetry.lock", "pdm.lock"),
}
"""Lock files by kind of manifest."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class WorkspacePackage:
    """A folder with a manifest. ``dependencies``: package names, or ``./folders`` of this repository."""

    folder: str
    manifest: str
    name: str
    dependencies: tuple[str, ...]
    members: tuple[str, ...]


def dependency_patterns(
    watch: Sequence[str], packages: Sequence[WorkspacePackage], files: Collection[str]
) -> tuple[str, ...]:
    """Return patterns for the workspace packages and lock files that a service depends on but does not watch.

    Its own packages are those whose manifest it watches, else the nearest ones above its patterns.
    """
    own = [
        candidate for candidate in packages if match_files(watch, [_path_in(candidate.folder, candidate.manifest)])
    ] or list(_nearest_packages(watch, packages))
    found: dict[str, None] = {}
    for package in own:
        for other in _with_dependencies(package, packages):
            if other.folder and other not in own:
                found[f"{other.folder}/**"] = None
        found |= dict.fromkeys(_lock_files(package, packages, files))
    return tuple(pattern for pattern in found if not match_files(watch, [pattern.removesuffix("/**")]))


def _with_dependencies(package: WorkspacePackage, packages: Sequence[WorkspacePackage]) -> list[WorkspacePackage]:
    """Return a package and its transitive dependencies in the repository."""
    found, remaining = [package], [package]
    while remaining:
        needs = remaining.pop().dependencies
        more = [
            other
            for other in packages
            if other.manifest == package.manifest
            and other not in found
            and (other.name in needs or f"./{other.folder}" in needs)
        ]
        found += more
        remaining += more
    return found


def _lock_files(
    package: WorkspacePackage, packages: Sequence[WorkspacePackage], files: Collection[str]
) -> Iterator[str]:
    """Yield the lock files and workspace manifests that pin a package's dependencies."""
    roots = [
        candidate for candidate in packages if candidate.manifest == package.manifest and _is_member(package, candidate)
    ]
    for folder in dict.fromkeys((package.folder, *(root.folder for root in roots))):
        names = (*LOCK_FILES[package.manifest], package.manifest, "pnpm-workspace.yaml")
        yield from (path for name in names if (path := _path_in(folder, name)) in files)


def _is_member(package: WorkspacePackage, root: WorkspacePackage) -> bool:
    below = PurePosixPath(package.folder)
    if not root.members or package.folder == root.folder or not below.is_relative_to(root.folder):
        return False
    return bool(match_files(root.members, [str(below.relative_to(root.folder))]))


def _nearest_packages(watch: Sequence[str], packages: Sequence[WorkspacePackage]) -> Iterator[WorkspacePackage]:
    for pattern in watch:
        literal = re.split(r"[*?{\[(!@+]", pattern)[0]
        folders = [str(parent) for parent in PurePosixPath(literal + "x").parents if not pattern.startswith("!")]
        nearest = next(
            (folder for folder in folders if any(_is_in_folder(package, folder) for package in packages)), None
        )
        yield from (package for package in packages if nearest is not None and _is_in_folder(package, nearest))


def _is_in_folder(package: WorkspacePackage, folder: str) -> bool:
    return package.folder == ("" if folder == "." else folder)


def unlocked_manifests(known: Sequence[WorkspacePackage], files: Collection[str]) -> tuple[str, ...]:
    """Return the manifests with dependencies that no lock or requirements file, beside or above them, pins."""
    return tuple(
        _path_in(package.folder, package.manifest)
        for package in known
        if package.dependencies and not any(_is_lock_for(PurePosixPath(file), package) for file in files)
    )


def _is_lock_for(file: PurePosixPath, package: WorkspacePackage) -> bool:
    named = file.name in LOCK_FILES[package.manifest]
    listed = package.manifest == "pyproject.toml" and file.match("requirements*.txt")
    return (named or listed) and PurePosixPath(package.folder).is_relative_to(file.parent)


def parse_packages(contents: Mapping[str, bytes]) -> tuple[WorkspacePackage, ...]:
    """Return the packages of manifests, given by path. Invalid manifests are skipped."""
    found = [_parse_package(path, content, contents) for path, content in contents.items()]
    return tuple(sorted((package for package in found if package), key=lambda package: package.folder))


def _parse_package(path: str, content: bytes, contents: Mapping[str, bytes]) -> WorkspacePackage | None:
    folder, manifest = str(PurePosixPath(path).parent).removeprefix("."), PurePosixPath(path).name
    try:
        if manifest == "package.json":
            return _parse_node_package(
                folder, json.loads(content), contents.get(_path_in(folder, "pnpm-workspace.yaml"))
            )
        if manifest == "pyproject.toml":
            return _parse_python_package(folder, tomllib.loads(content.decode()))
    except (ValueError, TypeError, AttributeError, yaml.YAMLError):
        pass
    return None


def _parse_node_package(folder: str, manifest: dict[str, Any], pnpm: bytes | None) -> WorkspacePackage:
    kinds = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
    wanted = {name: str(version) for kind in kinds for name, version in (manifest.get(kind) or {}).items()}
    members = manifest.get("workspaces") or ()
    members = members.get("packages", ()) if isinstance(members, dict) else members
    if pnpm is not None:
        members = (yaml.safe_load(pnpm) or {}).get("packages", ())
    paths = [_linked_folder(folder, text) for text in wanted.values()]
    return WorkspacePackage(
        folder, "package.json", manifest.get("name", ""), (*wanted, *filter(None, paths)), _member_patterns(members)
    )


def _linked_folder(folder: str, version: str) -> str:
    """Return the folder of a version such as ``file:../ui``, as ``./…`` from the repository root."""
    kind, _, path = version.partition(":")
    return _repository_path(folder, path) if kind in {"file", "link", "portal"} else ""


def _parse_python_package(folder: str, manifest: dict[str, Any]) -> WorkspacePackage:
    project, uv = manifest.get("project", {}), manifest.get("tool", {}).get("uv", {})
    groups = [*project.get("optional-dependencies", {}).values(), *manifest.get("dependency-groups", {}).values()]
    texts = [text for group in (project.get("dependencies", []), *groups) for text in group if isinstance(text, str)]
    names = [_normalized_name(found[0]) for text in texts if (found := _NAME.match(text))]
    sources = [source for source in uv.get("sources", {}).values() if isinstance(source, dict)]
    paths = [_repository_path(folder, source["path"]) for source in sources if "path" in source]
    workspace = uv.get("workspace", {})
    members = _member_patterns(
        [*workspace.get("members", ()), *(f"!{excluded}" for excluded in workspace.get("exclude", ()))]
    )
    return WorkspacePackage(
        folder, "pyproject.toml", _normalized_name(project.get("name", "")), (*names, *paths), members
    )


def _member_patterns(folders: Iterable[str]) -> tuple[str, ...]:
    """Return member folders as patterns, none if all are exclusions."""
    patterns = tuple(str(folder).rstrip("/") for folder in folders)
    return patterns if any(not pattern.startswith("!") for pattern in patterns) else ()


def _normalized_name(name: str) -> str:
    """Return a Python package's normalized name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _repository_path(folder: str, path: str) -> str:
    parts: list[str] = []
    for part in (*PurePosixPath(folder).parts, *PurePosixPath(path).parts):
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "./" + "/".join(parts)


def _path_in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
