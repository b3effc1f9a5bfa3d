"""What a command works on: the project here, one of its environments, one of its deployments."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from abreast.cli.terminal_text import visible
from abreast.cli.working_directory import working_directory
from abreast.core.errors import UsageError
from abreast.core.plan import DeploymentKind
from abreast.core.previews import PreviewName
from abreast.core.proposals import HASH_LENGTH, Proposal, ProposalState
from abreast.core.states import DeploymentState
from abreast.ledger.file_errors import unwritable_note
from abreast.ledger.interface import Deployment, Ledger
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.workspace import Workspace, utc_now

_RELEASE = re.compile(r"v\d{1,9}")
_HASH = re.compile("[0-9a-f]{6,64}")
_DATA_ONLY = frozenset({DeploymentKind.MIGRATE, DeploymentKind.REHEARSE, DeploymentKind.RESTORE, DeploymentKind.DRILL})
"""The kinds of deployments that put no release into an environment."""


def locate_workspace() -> Workspace:
    """Return the project that the current folder belongs to. Raises ConfigError if there is none."""
    return Workspace.locate(working_directory(), os.environ)


@contextmanager
def read_record(workspace: Workspace) -> Iterator[SqliteLedger]:
    """Open the ledger to read it, and say on standard error if nothing can be recorded. Raises StateError."""
    with workspace.read_ledger() as ledger:
        if why := ledger.file.unwritable:
            _warn_once(unwritable_note(str(ledger.file.folder), why))
        yield ledger


@cache
def _warn_once(text: str) -> None:
    """Print a line on standard error, and not again: some commands open the ledger twice."""
    print(visible(text), file=sys.stderr)


def choose_environment(environments: Sequence[str], requested: str | None) -> str:
    """Return the requested environment, else the only one, else ``local`` or ``development``.

    Raises UsageError if there is none of these.
    """
    if requested is not None:
        return requested
    if len(environments) == 1:
        return environments[0]
    if here := next((name for name in ("local", "development") if name in environments), None):
        return here
    raise UsageError("no environment given", need=f"--env with one of: {', '.join(environments)}")


def known_environment(workspace: Workspace, ledger: Ledger, requested: str | None) -> str:
    """Return an environment as ``choose_environment`` does.

    Raises UsageError for one that abreast.yml does not have, unless the record knows it: what was done to an
    environment that is gone from abreast.yml can still be read and ended.
    """
    if requested is not None:
        require_known_environment(workspace, ledger, requested)
        return requested
    return choose_environment(workspace.environment_names(), None)


def require_known_environment(workspace: Workspace, ledger: Ledger, name: str | None) -> None:
    """Raise UsageError for an environment that neither the record nor abreast.yml knows; None stands for all."""
    if name is None or ledger.deployments(name, 1) or name in ledger.operator_locks() or ledger.maintenance(name):
        return
    configured = workspace.environment_names()
    preview = PreviewName.parse(name)
    if name in configured or (preview and preview.base in configured):
        return
    from abreast.config.fault_messages import suggestion  # noqa: PLC0415 (slow, and only this fault needs it)

    what = f"there is no environment {name!r}{suggestion(name, configured)}"
    raise UsageError(what, need=f"one of: {', '.join(configured)}", next="abreast status")


def choose_deployment(
    ledger: Ledger, requested: str | None, environment: str | None = None, *, unfinished: bool = False
) -> Deployment:
    """Return the requested deployment, else the latest; with ``unfinished``, the latest that has not ended.

    ``requested`` is an id, or a release, which stands for the latest deployment of it: to ``environment``, if that is
    given. Raises UsageError for a deployment to another one.
    """
    if requested is not None and _RELEASE.fullmatch(requested):
        return _latest_of_release(ledger, requested, environment)
    if requested is not None:
        found = ledger.deployment(requested)
        if environment not in {None, found.environment}:
            what = f"deployment {found.id} is one of {found.environment}, not of {environment}"
            raise UsageError(what, next=f"abreast history --env {environment}")
        return found
    latest = ledger.deployments(limit=50)
    candidates = [deployment for deployment in latest if not (unfinished and deployment.state.is_final)]
    if not candidates:
        what = "no deployment is running or interrupted" if latest else "nothing has been deployed yet"
        raise UsageError(what, next="abreast history" if latest else "abreast deploy")
    return candidates[0]


def choose_proposal(ledger: Ledger, requested: str | None) -> Proposal | None:
    """Return the newest proposal whose hash begins so, None if the text is not one of a proposal.

    Raises UsageError for a whole hash that no proposal has, where several begin so, and where none is requested and
    nothing but proposals waits: a person names the hash.
    """
    if requested is None:
        _refuse_without_hash(ledger)
        return None
    if not _HASH.fullmatch(requested):
        return None
    found = [proposal for proposal in ledger.proposals() if proposal.digest.startswith(requested)]
    if len({(proposal.environment, proposal.digest) for proposal in found}) > 1:
        listed = ", ".join(sorted({proposal.hash for proposal in found}))
        raise UsageError(f"several proposals begin with {requested}", need=f"one of: {listed}")
    if not found and len(requested) >= HASH_LENGTH:
        raise UsageError(f"there is no proposal {requested}", next="abreast proposals --all")
    return found[0] if found else None


def _refuse_without_hash(ledger: Ledger) -> None:
    """Raise UsageError if no deployment waits for an approval, and proposals do."""
    if any(deployment.state is DeploymentState.APPROVING for deployment in ledger.deployments(limit=50)):
        return
    waiting = [proposal.hash for proposal in ledger.proposals() if proposal.state(utc_now()) is ProposalState.OPEN]
    if waiting:
        what = "no deployment waits for an approval, but a proposal does"
        raise UsageError(what, need=f"its hash: {', '.join(waiting)}", next="abreast proposals")


def _latest_of_release(ledger: Ledger, release: str, environment: str | None) -> Deployment:
    """Return the latest deployment of a release, to an environment or to any. Raises UsageError if there is none."""
    deployed = [found for found in ledger.deployments(environment, 10_000) if found.kind not in _DATA_ONLY]
    latest = next((deployment for deployment in deployed if deployment.release == release), None)
    if latest is None:
        known = ", ".join(dict.fromkeys(deployment.release for deployment in deployed)) or "none yet"
        what = f"there is no deployment of {release}{f' to {environment}' if environment else ''}"
        raise UsageError(what, need=f"one of: {known}", next="abreast history")
    return latest
