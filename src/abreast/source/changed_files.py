"""Which files changed for each service between the live commit and a new one."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from abreast.core.changes.watch_patterns import match_files
from abreast.core.changes.workspaces import MANIFESTS, dependency_patterns, parse_packages
from abreast.core.model import Service
from abreast.source.interface import Source

ChangedFiles = Sequence[tuple[str, str]] | None
"""Files, each with the pattern that it matches; None if unknown."""


def changed_files_by_service(
    source: Source, services: Sequence[Service], bases: Mapping[str, str], commit: str
) -> dict[str, ChangedFiles]:
    """Return the files that changed for each service since its commit in ``bases``; none if it has no base.

    Raises UsageError if a base names no commit.
    """
    since = {
        name: source.resolve_commit(base) if not _is_full_commit_id(base) else base for name, base in bases.items()
    }
    differing = {base: source.changed_files(base, commit) for base in {*since.values()} - {commit}}
    patterns = _dependency_patterns(source, services, commit) if any(differing.values()) else {}
    changed: dict[str, ChangedFiles] = {}
    for service in services:
        base = since.get(service.name, commit)
        files = differing.get(base, ())
        uses = (*service.uses, *patterns.get(service.name, ()))
        changed[service.name] = None if files is None else match_files(service.watch, files, uses)
    return changed


def build_input_files(source: Source, service: Service, commit: str) -> Mapping[str, str]:
    """Return the files that a service is built from at a commit, each with an id of its content."""
    contents = source.content_ids(commit)
    uses = (*service.uses, *_dependency_patterns(source, [service], commit).get(service.name, ()))
    return {file: contents[file] for file, _ in match_files(service.watch, list(contents), uses)}


def _is_full_commit_id(commit: str) -> bool:
    return len(commit) == 40


def _dependency_patterns(source: Source, services: Sequence[Service], commit: str) -> dict[str, tuple[str, ...]]:
    """Return patterns for the packages in the repository that each service depends on, from their manifests."""
    if not any(service.watch for service in services):
        return {}
    files = frozenset(source.list_files(commit))
    manifests = [name for name in files if PurePosixPath(name).name in MANIFESTS]
    packages = parse_packages(source.read_files(commit, manifests)) if manifests else ()
    return {service.name: dependency_patterns(service.watch, packages, files) for service in services if service.watch}
