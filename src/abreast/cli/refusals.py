"""Records that a command was refused: by a gate, an approval, a lock, or since an agent may not give it."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from abreast.cli.selection import choose_deployment, choose_environment, locate_workspace
from abreast.core.approvals.link import is_link, unverified_deployment
from abreast.core.errors import AbreastError, RefusedError
from abreast.ledger.acts import REFUSED
from abreast.ledger.sqlite import SqliteLedger
from abreast.machine.lazy_modules import lazy_module
from abreast.wiring.identity import AGENT_VARIABLE
from abreast.wiring.workspace import Workspace

if TYPE_CHECKING:
    from abreast.cli import redaction
else:
    redaction = lazy_module("abreast.cli.redaction")  # slow, and few commands are refused

OPEN_TO_AGENTS = frozenset(
    {
        "abreast", "plan", "gates", "status", "history", "show", "logs", "incident", "doctor", "state show",
        "state verify", "audit verify", "audit export", "audit change", "config", "config diff", "db list", "db status",
        "locks", "maintenance", "maintenance status", "schema", "docs", "completion", "help", "mcp", "proposals",
        "propose deploy", "propose promote", "propose rollback",
    }
)  # fmt: skip
"""What an agent may run for a person: what reads, plans and proposes. Everything else needs the person."""


CHANGING_OPTIONS = ("fix", "checkpoint", "note", "close", "reopen")
"""The options with which a command that reads changes something."""

_RECORD_NOTHING = frozenset({"init", "demo"})
"""What only a person may run, and what the audit trail does not show."""


def records_acts(context: click.Context) -> bool:
    """Return whether a command records what it does. One that reads records only that it was refused."""
    command = _command(context)
    return command.startswith("propose ") or not (_is_open_to_agents(context) or command in _RECORD_NOTHING)


def refuse_agent(context: click.Context, agent: str) -> None:
    """Raise RefusedError for a command that an agent may not give."""
    if not _is_open_to_agents(context):
        raise RefusedError(
            f"{agent} is an agent, and may not give the command {_command(context)}",
            need=f"a person, without {AGENT_VARIABLE}; an agent may read, plan and propose",
            next="abreast plan",
        )


def record(context: click.Context, error: RefusedError) -> None:
    """Record the refusal of a command. That it cannot be recorded is said, and changes nothing."""
    try:
        workspace = locate_workspace()
        workspace.verify_run()  # of a command that reads, nobody has asked yet
        with workspace.open_ledger() as ledger:
            ledger.record_act(
                _environment(workspace, ledger, context.params), _command(context), REFUSED,
                why=redaction.redact_only(str(context.params.get("reason") or "")),
                detail=redaction.redact_only(error.what),
            )  # fmt: skip
    except AbreastError as failed:
        print(f"this refusal is not recorded: {failed.what}", file=sys.stderr)


def _is_open_to_agents(context: click.Context) -> bool:
    return _command(context) in OPEN_TO_AGENTS and not any(context.params.get(name) for name in CHANGING_OPTIONS)


def _command(context: click.Context) -> str:
    return context.command_path.removeprefix("abreast ")


def _environment(workspace: Workspace, ledger: SqliteLedger, options: Mapping[str, object]) -> str:
    """Return the environment that a command was given for, "" if it is for none."""
    with suppress(AbreastError, ValueError):
        if "environment" in options:
            requested = options["environment"]
            return choose_environment(workspace.environment_names(), str(requested) if requested else None)
        if "deployment" in options:
            requested = str(options["deployment"]) if options["deployment"] else None
            if requested and is_link(requested):
                requested = unverified_deployment(requested)
            return choose_deployment(ledger, requested, unfinished=True).environment
    return ""
