"""The commands of proposals, their options and their help: a part of the table in ``main``.

They have no options that override: who skips a gate, brings an older commit back, does not wait for an approval or
replaces data says so where it happens, in their own name.
"""

import click

from abreast.cli.lazy import LazyCommand
from abreast.cli.options import (
    ASK_WHO,
    ASK_WHO_AND_WHAT,
    ENVIRONMENT,
    FORCE,
    JSON,
    SERVICES,
    SINCE,
    RecordedText,
    flag,
    names,
)

_REASON = click.Option(
    ["--reason"],
    required=True,
    metavar="R",
    type=RecordedText(lines=False),
    help="Why. Shown to the person who decides.",
)
_RELEASE = click.Option(
    ["--release"], metavar="V", help="This release, which was built before.", shell_complete=names("releases")
)

PROPOSE_COMMANDS = (
    LazyCommand(
        "deploy",
        "abreast.cli.commands.proposals:propose_deploy",
        "Propose a deployment of all changed services.\n\n"
        "Changes nothing. Prints a hash of the plan; a person who approves the hash deploys it, as long as the plan is "
        "still the same. Gates, freezes and approvals hold, and cannot be skipped by a proposal.",
        [ENVIRONMENT, SERVICES, SINCE, _RELEASE, FORCE,
         flag("--allow-dirty", "Propose the commit, and leave uncommitted changes out."), _REASON, JSON],
        ahead=ASK_WHO_AND_WHAT,
    ),
    LazyCommand(
        "promote",
        "abreast.cli.commands.proposals:propose_promote",
        "Propose to deploy what one environment has tried to the next one.\n\n"
        "Changes nothing. Prints a hash of the plan, which a person approves.",
        [
            click.Option(["--to"], metavar="E", required=True, help="The environment to promote to.",
                         shell_complete=names("environments")),
            click.Option(["--from", "source"], metavar="E", help="The environment that tried it.",
                         shell_complete=names("environments")),
            _RELEASE,
            click.Option(["--deployment"], metavar="ID", help="The release of this deployment to the other one."),
            _REASON,
            JSON,
        ],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "rollback",
        "abreast.cli.commands.proposals:propose_rollback",
        "Propose to roll all services back together, to an earlier release.\n\n"
        "Changes nothing. Prints a hash of the plan, which a person approves.",
        [
            ENVIRONMENT,
            SERVICES,
            click.Option(["--to", "release"], metavar="V",
                         help="The release to roll back to. Default: the last good one before what is live.",
                         shell_complete=names("releases")),
            _REASON,
            JSON,
        ],
        ahead=ASK_WHO,
    ),
)  # fmt: skip

PROPOSALS = LazyCommand(
    "proposals",
    "abreast.cli.commands.proposals:list_proposals",
    "List the proposals that wait for a person.\n\n"
    "`abreast approve HASH` shows one and carries it out, `abreast reject HASH` ends it.",
    [ENVIRONMENT, flag("--all", "Also those that were approved, rejected, or expired."), JSON],
)
