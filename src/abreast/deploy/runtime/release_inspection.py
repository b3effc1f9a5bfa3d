"""What would fail in a release, and what its platform says of it, before anything is built."""

import asyncio
from collections.abc import Iterator, Sequence

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, UsageError
from abreast.core.model import Service
from abreast.core.plan import ServicePlan
from abreast.deploy.runtime.install_recipe import install_recipe
from abreast.deploy.runtime.ports import Ports
from abreast.platforms.interface import InspectsRelease, SourceFiles


async def inspect_release(ports: Ports, service: Service, commit: str | None) -> Sequence[Diagnostic]:
    """Return what would fail at a commit that is to be built; None if the artifact is built already.

    The repository need not have the commit: an earlier release can be deployed without it.
    """
    files = await asyncio.to_thread(_source_files, ports, commit) if commit else None
    found = list(_missing_folder(service, files)) if files else []
    if files and commit and not found:
        found += await asyncio.to_thread(_inspect_install, ports, service, commit)
    platform = ports.platforms[service.platform]
    if isinstance(platform, InspectsRelease):
        found += await platform.inspect_release(service, files)
    return found


async def release_notes(ports: Ports, part: ServicePlan) -> tuple[str, ...]:
    """Return what the plan says of a part that is deployed. Raises PlatformError for a fault."""
    found = await inspect_release(ports, part.service, None if part.artifact else part.commit)
    for diagnostic in found:
        if diagnostic.level is DiagnosticSeverity.FAULT:
            raise PlatformError(diagnostic.what, need=diagnostic.need, next=diagnostic.next)
    inspected = ("; needed: ".join(filter(None, (diagnostic.what, diagnostic.need))) for diagnostic in found)
    return (*inspected, *await asyncio.to_thread(lambda: tuple(_rebuild_notes(ports, part))))


def _rebuild_notes(ports: Ports, part: ServicePlan) -> Iterator[str]:
    """Yield what follows from a release's artifact that cannot be read here."""
    if part.artifact and not ports.artifacts.has(part.artifact):
        yield f"its artifact is not here, so commit {part.commit[:7]} is built again"
        if "artifacts" in ports.only_here:
            yield "`artifacts: {store: …}` keeps artifacts where every machine reads them"


def _inspect_install(ports: Ports, service: Service, commit: str) -> Sequence[Diagnostic]:
    """Return a fault for an interpreter that is not here, and a note on dependencies that are installed again."""
    try:
        recipe = install_recipe(ports, service, commit)
    except UsageError as error:
        return [Diagnostic.from_error("", error)]
    return [Diagnostic(DiagnosticSeverity.WARNING, "", note) for note in recipe.notes] if recipe else []


def _missing_folder(service: Service, files: SourceFiles) -> Iterator[Diagnostic]:
    inside = (f"{path}/" for path in files.paths)  # a submodule is one of the paths
    if service.folder and not any(
        path.startswith(f"{service.folder}/") or service.folder.startswith(path) for path in inside
    ):
        folders = sorted({path.partition("/")[0] for path in files.paths if "/" in path})
        yield Diagnostic(
            DiagnosticSeverity.FAULT, "",
            f"services.{service.name}.folder: the commit has no folder {service.folder!r}",
            f"a folder with committed files, relative to abreast.yml{f', such as {folders[0]}' if folders else ''}",
            "correct `folder`, or: git add, and commit",
        )  # fmt: skip


def _source_files(ports: Ports, commit: str) -> SourceFiles | None:
    try:
        paths = frozenset(ports.source.list_files(ports.source.resolve_commit(commit)))
    except UsageError:
        return None
    return SourceFiles(paths, lambda name: ports.source.read_files(commit, [name]).get(name))
