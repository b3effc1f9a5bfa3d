"""What a platform says of a release before anything is built."""

import asyncio
from collections.abc import Sequence

from abreast.core.diagnostics import Diagnostic
from abreast.core.errors import UsageError
from abreast.core.model import Service
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


def _source_files(ports: Ports, commit: str) -> SourceFiles | None:
    try:
        paths = frozenset(ports.source.list_files(ports.source.resolve_commit(commit)))
    except UsageError:
        return None
    return SourceFiles(paths, lambda name: ports.source.read_files(commit, [name]).get(name))
