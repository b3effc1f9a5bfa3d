"""What changed for each service, net, between what is live and a commit."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from abreast.core.changes.watch_patterns import match_files
from abreast.core.changes.workspaces import MANIFESTS, dependency_patterns, parse_packages
from abreast.core.model import Service
from abreast.source.interface import Source

ChangedFiles = Sequence[tuple[str, str]] | None
"""Files, each with the pattern that counts it; None where that cannot be told."""


def changed_files_by_service(
    source: Source, services: Sequence[Service], bases: Mapping[str, str], commit: str
) -> dict[str, ChangedFiles]:
    """Return what changed for each service since its commit in ``bases``; nothing where it has none.

    Raises UsageError for a commit that cannot be meant.
    """
    since = {
        name: source.resolve_commit(base) if not _is_full_commit_id(base) else base for name, base in bases.items()
    }
    differing = {base: source.changed_files(base, commit) for base in {*since.values()} - {commit}}
    also = _dependency_patterns(source, services, commit) if any(differing.values()) else {}
    found: dict[str, ChangedFiles] = {}
    for service in services:
        base = since.get(service.name, commit)
        files = differing.get(base, ())
        uses = (*service.uses, *also.get(service.name, ()))
        found[service.name] = None if files is None else match_files(service.watch, files, uses)
    return found


def build_input_files(source: Source, service: Service, commit: str) -> Mapping[str, str]:
    """Return the files that count for a service at a commit, each with an id of its content."""
    contents = source.content_ids(commit)
    uses = (*service.uses, *_dependency_patterns(source, [service], commit).get(service.name, ()))
    return {file: contents[file] for file, _ in match_files(service.watch, list(contents), uses)}


def _is_full_commit_id(commit: str) -> bool:
    return len(commit) == 40


def _dependency_patterns(source: Source, services: Sequence[Service], commit: str) -> dict[str, tuple[str, ...]]:
    """Return what each service is made from beside what it watches and uses, by the manifests in the repository."""
    if not any(service.watch for service in services):
        return {}
    files = frozenset(source.list_files(commit))
    manifests = [name for name in files if PurePosixPath(name).name in MANIFESTS]
    known = parse_packages(source.read_files(commit, manifests)) if manifests else ()
    return {service.name: dependency_patterns(service.watch, known, files) for service in services if service.watch}
