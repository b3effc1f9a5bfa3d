"""Has the CI system vouch for a run, before a command in it acts."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from abreast.ci.id_tokens import ID_TOKEN_VARIABLES
from abreast.cli.refusals import records_acts
from abreast.cli.selection import locate_workspace
from abreast.core.errors import ConfigError
from abreast.machine.lazy_modules import lazy_module
from abreast.wiring.workspace import Workspace

if TYPE_CHECKING:
    from abreast.cli import redaction
else:
    redaction = lazy_module("abreast.cli.redaction")  # slow, and commands that read do not need it


def verify_run(context: click.Context) -> None:
    """Verify the run that a command acts in. Raises RejectedTokenError if it is not the one that it claims to be."""
    if not records_acts(context):
        return
    with suppress(ConfigError):  # outside of a project; the command says so
        workspace = locate_workspace()
        _hide_tokens(workspace)
        verification = workspace.verify_run()
        if verification and verification.warning:
            unknown = f"warning: who started this run is not verified, and is recorded so: {verification.warning}"
            print(redaction.redact(unknown), file=sys.stderr)
        if verification and verification.refusal:
            raise verification.refusal


def _hide_tokens(workspace: Workspace) -> None:
    """Keep tokens, and what is exchanged for one, from all output and from every process that is started."""
    variables = workspace.variables
    redaction.register_secrets(variables[name] for name in ID_TOKEN_VARIABLES if name in variables)
    workspace.hide_variables(ID_TOKEN_VARIABLES)
