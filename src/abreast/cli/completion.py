"""Shell completion: the scripts for shells, and the names that complete options and arguments."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import click
from click.shell_completion import get_completion_class

from abreast.cli.selection import locate_workspace
from abreast.core.errors import AbreastError
from abreast.wiring.workspace import Workspace

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_ABREAST_COMPLETE"


def completion(shell: str) -> int:
    """Print the script that completes ``abreast`` in a shell."""
    script = get_completion_class(shell)
    assert script
    print(script(click.get_current_context().find_root().command, {}, "abreast", _VARIABLE).source())
    return 0


def environments(incomplete: str) -> list[str]:
    """Return the environments of abreast.yml that begin so."""
    return _names(incomplete, Workspace.environment_names)


def services(incomplete: str) -> list[str]:
    """Return the services of abreast.yml that begin so."""
    return _names(incomplete, Workspace.service_names)


def releases(incomplete: str) -> list[str]:
    """Return the releases that begin so, newest first."""
    return _names(incomplete, _release_names)


def deployments(incomplete: str) -> list[str]:
    """Return the releases and the ids of deployments that begin so, newest first."""
    return _names(incomplete, lambda workspace: (*_release_names(workspace), *_deployment_ids(workspace)))


def _names(incomplete: str, read: Callable[[Workspace], Iterable[str]]) -> list[str]:
    """Return the names that begin so. None if there is no project: completion says nothing of errors."""
    with suppress(AbreastError, OSError):
        return [name for name in read(locate_workspace()) if name.startswith(incomplete)]
    return []


def _release_names(workspace: Workspace) -> list[str]:
    with workspace.read_ledger() as ledger:
        return [release.version for release in ledger.releases()]


def _deployment_ids(workspace: Workspace) -> list[str]:
    with workspace.read_ledger() as ledger:
        return [deployment.id for deployment in ledger.deployments()]
