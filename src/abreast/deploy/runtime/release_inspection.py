"""What a platform says of a release before anything is built."""

import asyncio
from collections.abc import Sequence

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, UsageError
from abreast.core.model import Service, ServicePlan
from abreast.deploy.runtime.ports import Ports
from abreast.platforms.interface import InspectsRelease, SourceFiles


async def inspect_release(ports: Ports, service: Service, commit: str | None) -> Sequence[Diagnostic]:
    """Return what the service's platform says of a commit that is to be built; None if the artifact is built already.

    The repository need not have the commit: an earlier release can be deployed without it.
    """
    platform = ports.platforms[service.platform]
    if not isinstance(platform, InspectsRelease):
        return ()
    files = await asyncio.to_thread(_source_files, ports, commit) if commit else None
    return await platform.inspect_release(service, files)


async def release_notes(ports: Ports, part: ServicePlan) -> tuple[str, ...]:
    """Return what the plan says of a part that is deployed. Raises PlatformError for a fault."""
    found = await inspect_release(ports, part.service, None if part.artifact else part.commit)
    for diagnostic in found:
        if diagnostic.level is DiagnosticSeverity.FAULT:
            raise PlatformError(diagnostic.what, need=diagnostic.need, next=diagnostic.next)
    return tuple("; needed: ".join(filter(None, (diagnostic.what, diagnostic.need))) for diagnostic in found)


def _source_files(ports: Ports, commit: str) -> SourceFiles | None:
    try:
        paths = frozenset(ports.source.list_files(ports.source.resolve_commit(commit)))
    except UsageError:
        return None
    return SourceFiles(paths, lambda name: ports.source.read_files(commit, [name]).get(name))
