"""What a platform sees in the files of a commit, before anything is built."""

from collections.abc import Sequence

from abreast.core.diagnostics import Diagnostic
from abreast.core.errors import UsageError
from abreast.core.model import Service
from abreast.deploy.runtime.ports import Ports
from abreast.platforms.interface import InspectsFiles, SourceFiles


def inspect_files(ports: Ports, service: Service, commit: str) -> Sequence[Diagnostic]:
    """Return what the service's platform says of a commit's files.

    Nothing from a platform that does not look at them, or where the repository does not have the commit: an earlier
    release can be deployed without it.
    """
    platform = ports.platforms[service.platform]
    if not isinstance(platform, InspectsFiles):
        return ()
    try:
        paths = frozenset(ports.source.list_files(ports.source.resolve_commit(commit)))
    except UsageError:
        return ()
    return platform.inspect_files(service, SourceFiles(paths, lambda name: _read(ports, commit, name)))


def _read(ports: Ports, commit: str, name: str) -> bytes | None:
    return ports.source.read_files(commit, [name]).get(name)
