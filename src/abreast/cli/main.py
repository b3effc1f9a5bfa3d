"""The command line: a table of every command, its options and its help. What they do is in ``commands``."""

from pathlib import Path

import click

from abreast import __version__
from abreast.cli.command_groups import (
    CONFIGURATION_COMMANDS,
    DATABASE_COMMANDS,
    MAINTENANCE_COMMANDS,
    MAINTENANCE_OPTIONS,
    configuration_without_command,
    maintenance_without_command,
)
from abreast.cli.lazy import LazyCommand, load
from abreast.cli.notify_commands import NOTIFY_COMMANDS
from abreast.cli.options import (
    ASK_WHO,
    ASK_WHO_AND_WHAT,
    ASKED_REASON,
    COUNT,
    DEPLOYMENT,
    ENVIRONMENT,
    FORCE,
    JSON,
    REASON,
    SERVICES,
    SINCE,
    VERBOSE,
    YES,
    Duration,
    flag,
    group,
    names,
    reason,
)
from abreast.cli.proposal_commands import PROPOSALS, PROPOSE_COMMANDS
from abreast.cli.record_commands import AUDIT_COMMANDS, INCIDENT_COMMAND, STATE_COMMANDS


def _overview_without_command() -> int:
    """Show what to do next, if no command is given."""
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    return int(load("abreast.cli.commands.overview:overview")())


COMMANDS = (
    LazyCommand(
        "init",
        "abreast.cli.commands.init:init",
        "Write an abreast.yml for this repository.\n\n"
        "Asks where two answers are equally good. Shows the difference before it replaces a file.",
        [click.Option(["--render", "for_render"], is_flag=True, help="Write a render.yaml from abreast.yml instead."),
         click.Option(["--github", "for_github"], is_flag=True, help="Write workflows for GitHub Actions from it."),
         click.Option(["--gitlab", "for_gitlab"], is_flag=True, help="Write a .gitlab-ci.yml from it."),
         click.Option(["--action"], metavar="OWNER/NAME@COMMIT",
                      help="Where runners get abreast from, on GitHub. Default: where this one was installed from."),
         ENVIRONMENT,
         flag("--yes", "Take the first of equally good answers, and replace files that exist.")],
    ),
    LazyCommand(
        "doctor",
        "abreast.cli.commands.doctor:doctor",
        "Check the project, its credentials and its platforms.\n\n"
        "Prints each problem and how to fix it. Changes nothing, but with --github --fix.",
        [ENVIRONMENT, flag("--github", "Check the settings of the repository at GitHub instead."),
         flag("--fix", "With --github: mend what can be mended. Needs a token that may."), JSON],
    ),
    LazyCommand(
        "plan",
        "abreast.cli.commands.deployments:plan",
        "Show what a deployment would do, in which order, and why.",
        [ENVIRONMENT, SERVICES, SINCE, FORCE,
         flag("--comment", "Write the plan as a comment on the pull request of this run of a workflow."), JSON],
        ahead=ASK_WHO_AND_WHAT,
    ),
    LazyCommand(
        "gates",
        "abreast.cli.commands.gates:gates",
        "Evaluate the gates of what changed, and deploy nothing.\n\n"
        "Needs none of the variables of the services. Gates that need a build are left to the deployment.",
        [ENVIRONMENT, SERVICES, SINCE, VERBOSE, JSON],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "deploy",
        "abreast.cli.commands.deployments:deploy",
        "Deploy all changed services together, as one release.\n\nIf one of them fails, all are turned back.",
        [
            ENVIRONMENT,
            SERVICES,
            SINCE,
            click.Option(["--release"], metavar="V", help="Deploy this release, which was built before.",
                         shell_complete=names("releases")),
            click.Option(["--skip-gate", "skip_gates"], multiple=True, metavar="G",
                         help="Skip this gate. Needs --reason. May be repeated."),
            REASON,
            FORCE,
            YES,
            flag("--allow-dirty", "Deploy the commit, and leave uncommitted changes out."),
            flag("--allow-older", "Deploy the commit although a newer one is live, or it was rolled back. "
                  "Needs --reason."),
            VERBOSE,
            JSON,
        ],
        ahead=ASK_WHO_AND_WHAT,
    ),
    LazyCommand(
        "promote",
        "abreast.cli.commands.promotion:promote",
        "Deploy what one environment has tried to the next one: the same artifacts, with the settings of that one.\n\n"
        "Default: what was deployed last to the environment that abreast.yml names.",
        [
            click.Option(["--to"], metavar="E", required=True, help="The environment to promote to.",
                         shell_complete=names("environments")),
            click.Option(["--from", "source"], metavar="E", help="The environment that tried it.",
                         shell_complete=names("environments")),
            click.Option(["--release"], metavar="V", help="This release.", shell_complete=names("releases")),
            click.Option(["--deployment"], metavar="ID", help="The release of this deployment to the other one."),
            click.Option(["--skip-gate", "skip_gates"], multiple=True, metavar="G",
                         help="Skip a gate that the environment allows to skip. Needs --reason."),
            REASON,
            YES,
            JSON,
        ],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "approve",
        "abreast.cli.commands.approvals:approve",
        "Approve a DEPLOYMENT that waits for it, or carry out a proposal by its hash.\n\n"
        "`abreast resume` goes on with the deployment. A terminal shows what changes and asks. In place of DEPLOYMENT, "
        "a signed link approves as its person. A proposal is deployed, as long as its plan is still the same.",
        [
            DEPLOYMENT,
            REASON,
            click.Option(["--link-for"], metavar="PERSON",
                         help="Approve nothing: print the link by which this person can. Needs ABREAST_AUDIT_KEY."),
            YES,
            JSON,
        ],
    ),
    LazyCommand(
        "reject",
        "abreast.cli.commands.approvals:reject",
        "Reject a DEPLOYMENT that waits for an approval, or a proposal by its hash.\n\n"
        "It ends, and nothing has changed. "
        "In place of DEPLOYMENT, a signed link rejects as its person.",
        [DEPLOYMENT, ASKED_REASON, JSON],
    ),
    group("propose", "Propose what a person then approves. Changes nothing.", PROPOSE_COMMANDS),
    PROPOSALS,
    LazyCommand(
        "rollback",
        "abreast.cli.commands.cancellation:rollback",
        "Roll all services back together, to an earlier release.\n\n"
        "A deployment that is still running is turned back instead.",
        [
            ENVIRONMENT,
            SERVICES,
            click.Option(["--to", "release"], metavar="V",
                         help="The release to roll back to. Default: the last good one before what is live.",
                         shell_complete=names("releases")),
            flag("--emergency", "Wait for no approval, and check only what users need. Tells everybody at once."),
            flag("--restore-data", "Also restore the databases' backups of that release. Shows the data loss first."),
            ASKED_REASON,
            YES,
            JSON,
        ],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "confirm",
        "abreast.cli.commands.confirm_release:confirm_release",
        "Say that a RELEASE that is live is good, after you have looked at it.\n\n"
        "Recorded with your name. A rollback says who confirmed the release that it leads to.",
        [click.Argument(["release"], shell_complete=names("releases")), ENVIRONMENT, REASON, JSON],
    ),
    LazyCommand(
        "resume",
        "abreast.cli.commands.deployments:resume",
        "Resume an interrupted deployment at its last recorded step, or retry a turn-back that got stuck.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release. Default: the latest unfinished one.",
        [
            DEPLOYMENT,
            flag("--accept-as-it-is", "End a stuck deployment: what cannot be turned back stays live."),
            REASON,
            VERBOSE,
            JSON,
        ],
    ),
    LazyCommand(
        "cancel",
        "abreast.cli.commands.cancellation:cancel",
        "Cancel the running deployment and restore what was live.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release. Default: the latest unfinished one.",
        [DEPLOYMENT, REASON, JSON],
    ),
    LazyCommand(
        "status",
        "abreast.cli.commands.status:status",
        "Show what is live and whether it is healthy.",
        [ENVIRONMENT, JSON, flag("--watch", "Refresh every second, until Ctrl-C.")],
    ),
    LazyCommand(
        "history",
        "abreast.cli.commands.history:history",
        "List deployments, newest first.",
        [ENVIRONMENT,
         click.Option(["--limit"], type=COUNT, default=20, show_default=True, metavar="N",
                      help="List at most this many."), JSON],
    ),
    LazyCommand(
        "show",
        "abreast.cli.commands.history:show",
        "Show one deployment: its events, durations and failures.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release. Default: the latest.",
        [DEPLOYMENT, flag("--watch", "Follow the deployment until it ends."), JSON],
    ),
    LazyCommand(
        "logs",
        "abreast.cli.commands.logs:logs",
        "Show the output of live services and why the latest deployment failed, or the output of one DEPLOYMENT.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release.",
        [
            DEPLOYMENT,
            ENVIRONMENT,
            SERVICES,
            flag("--follow", "Keep printing new lines, until Ctrl-C."),
            click.Option(["--lines", "line_count"], type=COUNT, metavar="N",
                         help="Start with this many lines of each log. Default: 50, or all of a DEPLOYMENT."),
        ],
    ),
    INCIDENT_COMMAND,
    LazyCommand(
        "lock",
        "abreast.cli.commands.environments:lock",
        "Block deployments to an environment, and `down`.",
        [ENVIRONMENT,
         click.Option(["--for", "duration"], type=Duration(), metavar="TIME",
                      help="How long, such as 2h. Default: until it is unlocked."),
         reason("Why. Shown to anyone who tries to deploy. A terminal asks for it.")],
    ),
    LazyCommand(
        "locks",
        "abreast.cli.commands.environments:locks",
        "List the locks of all environments, and the releases that rollbacks keep out of them.",
        [JSON],
    ),
    LazyCommand(
        "unlock",
        "abreast.cli.commands.environments:unlock",
        "Allow deployments to an environment again, or those of a release that was rolled back.",
        [ENVIRONMENT,
         click.Option(["--release"], metavar="V", help="Let in this release, which a rollback keeps out.",
                      shell_complete=names("releases"))],
    ),
    group(
        "maintenance",
        "Answer users with a maintenance page instead of services, and show where that is so.",
        MAINTENANCE_COMMANDS,
        params=[*MAINTENANCE_OPTIONS],
        callback=maintenance_without_command,
        invoke_without_command=True,
    ),
    LazyCommand(
        "down",
        "abreast.cli.commands.environments:down",
        "Stop what runs on this machine. Data and history stay. A preview is removed, with its data.",
        [ENVIRONMENT,
         flag("--expired", "Remove the previews of closed pull requests, and those past their `ttl`."), YES],
    ),
    LazyCommand(
        "demo",
        "abreast.demo.runner:run_demo",
        "Run six deployments under load on this machine, in a minute.",
        [
            flag("--keep", "Leave the example running when the demo ends."),
            click.Option(["--folder"], type=click.Path(path_type=Path),
                         help="Where to put the example. Default: a temporary folder."),
        ],
    ),
    group("state", "Show, check or move the record of deployments.", STATE_COMMANDS),
    group("audit", "Verify and export the audit trail: who did what, when, where and why.", AUDIT_COMMANDS),
    group(
        "config",
        "Show what an environment is set to, and where each value comes from.",
        CONFIGURATION_COMMANDS,
        params=[ENVIRONMENT, JSON],
        callback=configuration_without_command,
        invoke_without_command=True,
    ),
    group("db", "Manage databases: backups, migrations and restores.", DATABASE_COMMANDS),
    group("notify", "Try who is told about deployments, and send what is due.", NOTIFY_COMMANDS),
    LazyCommand(
        "mcp",
        "abreast.cli.commands.mcp:mcp",
        "Serve the commands that an agent may give, by the Model Context Protocol on standard input and output.\n\n"
        "An agent reads, plans and proposes; a person approves. Needs abreast[mcp].",
        [
            click.Option(["--folder"], type=click.Path(path_type=Path),
                         help="The folder of the project. Default: the current one."),
            click.Option(["--time-limit"], type=Duration(), metavar="TIME",
                         help="How long a command may take. Default: 10m."),
        ],
    ),
    LazyCommand(
        "schema",
        "abreast.cli.commands.reference:schema",
        "Print the JSON Schema of abreast.yml, for editors.",
    ),
    LazyCommand(
        "docs",
        "abreast.cli.commands.reference:docs",
        "Print the reference of abreast.yml, or of one SECTION.",
        [click.Argument(["section"], required=False)],
    ),
    LazyCommand(
        "completion",
        "abreast.cli.completion:completion",
        "Print the script that completes commands and names in a SHELL: bash, zsh or fish.\n\n"
        "bash: put `eval \"$(abreast completion bash)\"` into ~/.bashrc. zsh: the same with zsh, into ~/.zshrc. "
        "fish: abreast completion fish > ~/.config/fish/completions/abreast.fish",
        [click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
    ),
    LazyCommand(
        "help",
        "abreast.cli.commands.help:show_help",
        "Show the help of a COMMAND.",
        [click.Argument(["commands"], nargs=-1, metavar="[COMMAND]...")],
    ),
)  # fmt: skip
"""Every command, in the order of a deployment's life."""

abreast = click.version_option(__version__, prog_name="abreast")(
    group(
        "abreast",
        "Deploy a project's services side by side, as one release: all go live together, or none does.",
        COMMANDS,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_overview_without_command,
        invoke_without_command=True,
    )
)
