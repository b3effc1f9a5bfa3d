"""What a command works on: the project here, one of its environments, one of its deployments."""

import os
from collections.abc import Sequence
from pathlib import Path

from abreast.core.errors import UsageError
from abreast.ledger.interface import Deployment, Ledger
from abreast.wiring.workspace import Workspace


def working_directory() -> Path:
    """Return the current folder. Raises UsageError if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder no longer exists", next="cd to your project") from error


def locate_workspace() -> Workspace:
    """Return the project that the current folder belongs to. Raises ConfigError if there is none."""
    return Workspace.locate(working_directory(), os.environ)


def choose_environment(environments: Sequence[str], requested: str | None) -> str:
    """Return the requested environment, else the only one, else ``local``. Raises UsageError if that is ambiguous."""
    if requested is not None:
        return requested
    if len(environments) == 1:
        return environments[0]
    if "local" in environments:
        return "local"
    raise UsageError("no environment given", need=f"--env with one of: {', '.join(environments)}")


def choose_deployment(ledger: Ledger, requested: str | None, *, unfinished: bool = False) -> Deployment:
    """Return the requested deployment, else the latest; with ``unfinished``, the latest that has not ended."""
    if requested is not None:
        return ledger.deployment(requested)
    latest = ledger.deployments(limit=50)
    candidates = [deployment for deployment in latest if not (unfinished and deployment.state.is_final)]
    if not candidates:
        what = "no deployment is running or interrupted" if latest else "nothing has been deployed yet"
        raise UsageError(what, next="abreast history" if latest else "abreast deploy")
    return candidates[0]
