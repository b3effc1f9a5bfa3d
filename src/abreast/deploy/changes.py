"""What changed for each service, net, between what is live and a commit."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from abreast.core.model import Service
from abreast.core.watch import decide
from abreast.core.workspaces import MANIFESTS, packages, reached
from abreast.source.interface import Source

Changed = Sequence[tuple[str, str]] | None
"""Files, each with the pattern that counts it; None where that cannot be told."""


def changes(source: Source, services: Sequence[Service], bases: Mapping[str, str], commit: str) -> dict[str, Changed]:
    """Return what changed for each service since its commit in ``bases``; nothing where it has none.

    Raises UsageError for a commit that cannot be meant.
    """
    since = {name: source.commit(base) if not _is_whole(base) else base for name, base in bases.items()}
    differing = {base: source.changed(base, commit) for base in {*since.values()} - {commit}}
    also = _reached(source, services, commit) if any(differing.values()) else {}
    found: dict[str, Changed] = {}
    for service in services:
        base = since.get(service.name, commit)
        files = differing.get(base, ())
        uses = (*service.uses, *also.get(service.name, ()))
        found[service.name] = None if files is None else decide(service.watch, files, uses)
    return found


def counting(source: Source, service: Service, commit: str) -> Mapping[str, str]:
    """Return the files that count for a service at a commit, each with an id of its content."""
    contents = source.contents(commit)
    uses = (*service.uses, *_reached(source, [service], commit).get(service.name, ()))
    return {file: contents[file] for file, _ in decide(service.watch, list(contents), uses)}


def _is_whole(commit: str) -> bool:
    return len(commit) == 40


def _reached(source: Source, services: Sequence[Service], commit: str) -> dict[str, tuple[str, ...]]:
    """Return what each service is made from beside what it watches and uses, by the manifests in the repository."""
    if not any(service.watch for service in services):
        return {}
    files = frozenset(source.files(commit))
    manifests = [name for name in files if PurePosixPath(name).name in MANIFESTS]
    known = packages(source.read(commit, manifests)) if manifests else ()
    return {service.name: reached(service.watch, known, files) for service in services if service.watch}
