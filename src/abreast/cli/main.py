"""The command line: a table of every command, its options and its help. What they do is in ``commands``."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from abreast import __version__
from abreast.cli.lazy import LazyCommand, load
from abreast.cli.notify_commands import NOTIFY_COMMANDS


class _OrderedGroup(click.Group):
    """A group that lists its commands in the order of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.commands)


def _group(name: str, help: str, commands: Sequence[click.Command], **options: object) -> click.Group:
    return _OrderedGroup(name, commands=list(commands), help=help, **options)  # type: ignore[arg-type]


def _flag(name: str, help: str) -> click.Option:
    return click.Option([name], is_flag=True, help=help)


def _names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return the function by which a shell completes names of this kind."""
    return lambda _, __, incomplete: load(f"abreast.cli.completion:{kind}")(incomplete)


def _overview_without_command() -> int:
    """Show what to do next, if no command is given."""
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    return int(load("abreast.cli.commands.overview:overview")())


def _configuration_without_command(**options: object) -> int:
    """Show what an environment is set to, if no command is given."""
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    return int(load("abreast.cli.commands.configuration:show")(**options))


ENVIRONMENT = click.Option(
    ["--env", "environment"], metavar="E", help="The environment. Default: the only one, or local.",
    shell_complete=_names("environments"),
)  # fmt: skip
SERVICES = click.Option(
    ["--service", "services"], multiple=True, metavar="S", help="Only this service. May be repeated.",
    shell_complete=_names("services"),
)  # fmt: skip
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on standard output.")
YES = _flag("--yes", "Do not ask for confirmation.")
FORCE = _flag("--force", "Include services that did not change.")
SINCE = click.Option(["--since"], metavar="REF", help="Find changes since this commit, not since what is live.")
REASON = click.Option(["--reason"], default="", metavar="R", help="Why. Recorded in the ledger.")
ASKED_REASON = click.Option(
    ["--reason"], default="", metavar="R", help="Why. Recorded in the ledger. A terminal asks for it."
)
VERBOSE = _flag("--verbose", "Show the output of builds and tests while they run.")
ASK_WHO = "abreast.cli.ahead:ask_who"
ASK_WHO_AND_WHAT = "abreast.cli.ahead:ask_who_and_what"
DEPLOYMENT = click.Argument(["deployment"], required=False, shell_complete=_names("deployments"))

_STATE_COMMANDS = (
    LazyCommand(
        "show",
        "abreast.cli.commands.state:show",
        "Show where the record is, and what of it is not there yet.",
        [JSON],
    ),
    LazyCommand(
        "verify",
        "abreast.cli.commands.state:verify",
        "Check every entry of the record, and everything that follows from it.",
    ),
    LazyCommand(
        "move",
        "abreast.cli.commands.state:move",
        "Move the record elsewhere. The environments are locked where it was.",
        [click.Option(["--to"], required=True, metavar="URL", help="git, postgresql://…, or a folder."), YES],
    ),
)

_CONFIGURATION_COMMANDS = (
    LazyCommand(
        "diff",
        "abreast.cli.commands.configuration:diff",
        "Show the settings that differ between two environments.",
        [
            click.Argument(["first"], shell_complete=_names("environments")),
            click.Argument(["second"], shell_complete=_names("environments")),
            JSON,
        ],
    ),
)

_DATABASE_COMMANDS = (
    LazyCommand(
        "backup",
        "abreast.cli.commands.databases:backup",
        "Back databases up, and verify each backup by restoring it.\n\nThe restore goes into a copy of the database.",
        [ENVIRONMENT, SERVICES, _flag("--scheduled", "Keep running, and back up when `backups: schedule` says."), JSON],
    ),
    LazyCommand(
        "list",
        "abreast.cli.commands.databases:list_backups",
        "List backups, newest first.",
        [ENVIRONMENT, SERVICES, _flag("--copies", "List the copies of the databases instead."), JSON],
    ),
    LazyCommand(
        "drop",
        "abreast.cli.commands.database_copies:drop",
        "Delete a copy of a database.\n\nNAME is a name of `abreast db list --copies`. Asks first.",
        [click.Argument(["name"]), ENVIRONMENT, SERVICES, YES],
    ),
    LazyCommand(
        "verify",
        "abreast.cli.commands.databases:verify",
        "Restore a stored BACKUP into a copy, to see that it still can be.\n\n"
        "BACKUP is the name of a backup, a release, or a moment of the continuous backup, such as latest. "
        "Default: the newest verified backup. Returns 1 if one is damaged.",
        [
            click.Argument(["backup"], required=False, default=""),
            ENVIRONMENT,
            SERVICES,
            click.Option(["--all", "every"], is_flag=True, help="Verify every backup."),
        ],
    ),
    LazyCommand(
        "baseline",
        "abreast.cli.commands.baseline:baseline",
        "Record migrations as applied, without running them.\n\n"
        "Adopts the history of golang-migrate, dbmate, Rails, goose, sql-migrate, node-pg-migrate, Flyway, sqlx or "
        "Supabase.",
        [
            ENVIRONMENT,
            SERVICES,
            click.Option(["--to"], metavar="NUMBER", help="Record all up to this number instead; 0 records none."),
            YES,
        ],
    ),
    LazyCommand(
        "restore",
        "abreast.cli.commands.databases:restore",
        "Replace a database by a BACKUP.\n\n"
        "Shows what would be lost, first. "
        "BACKUP is the name of a backup, a release, or a moment of the continuous backup, such as '2026-11-21 02:14' "
        "or latest. Default: the newest verified backup that no restore made.",
        [click.Argument(["backup"], required=False, default=""), ENVIRONMENT, SERVICES, REASON, YES, JSON],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "status",
        "abreast.cli.commands.databases:status",
        "Show migrations, size and newest backup of each database.",
        [ENVIRONMENT, SERVICES, JSON],
    ),
    LazyCommand(
        "migrate",
        "abreast.cli.commands.databases:migrate",
        "Migrate databases to the current commit, without deploying.\n\n"
        "Each is backed up and its migration rehearsed first.",
        [ENVIRONMENT, SERVICES, YES, JSON],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "rehearse",
        "abreast.cli.commands.databases:rehearse",
        "Run pending migrations on a restored copy only.\n\nShows their durations, their locks and what they change.",
        [ENVIRONMENT, SERVICES, JSON],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "drill",
        "abreast.cli.commands.databases:drill",
        "Rehearse disaster recovery on a copy.\n\n"
        "Restores the newest backup, migrates it, starts what is live on it and checks its health. "
        "Shows how long that took and how much data would have been lost.",
        [ENVIRONMENT, SERVICES, _flag("--scheduled", "Keep running, and drill when `backups: drill` says."), JSON],
        ahead=ASK_WHO,
    ),
)

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
         _flag("--yes", "Take the first of equally good answers, and replace files that exist.")],
    ),
    LazyCommand(
        "doctor",
        "abreast.cli.commands.doctor:doctor",
        "Check the project, its credentials and its platforms.\n\n"
        "Prints each problem and how to fix it. Changes nothing, but with --github --fix.",
        [ENVIRONMENT, _flag("--github", "Check the settings of the repository at GitHub instead."),
         _flag("--fix", "With --github: mend what can be mended. Needs a token that may."), JSON],
    ),
    LazyCommand(
        "plan",
        "abreast.cli.commands.deployments:plan",
        "Show what a deployment would do, in which order, and why.",
        [ENVIRONMENT, SERVICES, SINCE, FORCE,
         _flag("--comment", "Write the plan as a comment on the pull request of this run of a workflow."), JSON],
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
                         shell_complete=_names("releases")),
            click.Option(["--skip-gate", "skip_gates"], multiple=True, metavar="G",
                         help="Skip this gate. Needs --reason. May be repeated."),
            REASON,
            FORCE,
            YES,
            _flag("--allow-dirty", "Deploy the commit, and leave uncommitted changes out."),
            _flag("--allow-older", "Deploy the commit although a newer one is live, or it was rolled back. "
                  "Needs --reason."),
            VERBOSE,
            JSON,
        ],
        ahead=ASK_WHO_AND_WHAT,
    ),
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
                         shell_complete=_names("releases")),
            _flag("--restore-data", "Also restore the databases' backups of that release. Shows the data loss first."),
            ASKED_REASON,
            YES,
            JSON,
        ],
        ahead=ASK_WHO,
    ),
    LazyCommand(
        "resume",
        "abreast.cli.commands.deployments:resume",
        "Resume an interrupted deployment at its last recorded step, or retry a turn-back that got stuck.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release. Default: the latest unfinished one.",
        [
            DEPLOYMENT,
            _flag("--accept-as-it-is", "End a stuck deployment: what cannot be turned back stays live."),
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
        [ENVIRONMENT, JSON, _flag("--watch", "Refresh every second, until Ctrl-C.")],
    ),
    LazyCommand(
        "history",
        "abreast.cli.commands.history:history",
        "List deployments, newest first.",
        [ENVIRONMENT,
         click.Option(["--limit"], default=20, show_default=True, metavar="N", help="List at most this many."), JSON],
    ),
    LazyCommand(
        "show",
        "abreast.cli.commands.history:show",
        "Show one deployment: its events, durations and failures.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release. Default: the latest.",
        [DEPLOYMENT, _flag("--watch", "Follow the deployment until it ends."), JSON],
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
            _flag("--follow", "Keep printing new lines, until Ctrl-C."),
            click.Option(["--lines", "line_count"], type=click.IntRange(min=1), metavar="N",
                         help="Start with this many lines of each log. Default: 50, or all of a DEPLOYMENT."),
        ],
    ),
    LazyCommand(
        "lock",
        "abreast.cli.commands.environments:lock",
        "Block deployments to an environment, and `down`.",
        [ENVIRONMENT,
         click.Option(["--reason"], default="", metavar="R",
                      help="Why. Shown to anyone who tries to deploy. A terminal asks for it.")],
    ),
    LazyCommand(
        "unlock",
        "abreast.cli.commands.environments:unlock",
        "Allow deployments to an environment again.",
        [ENVIRONMENT],
    ),
    LazyCommand(
        "down",
        "abreast.cli.commands.environments:down",
        "Stop what runs on this machine. Data and history stay. A preview is removed, with its data.",
        [ENVIRONMENT,
         _flag("--expired", "Remove the previews of closed pull requests, and those past their `ttl`."), YES],
    ),
    LazyCommand(
        "demo",
        "abreast.demo.runner:run_demo",
        "Run six deployments under load on this machine, in a minute.",
        [
            _flag("--keep", "Leave the example running when the demo ends."),
            click.Option(["--folder"], type=click.Path(path_type=Path),
                         help="Where to put the example. Default: a temporary folder."),
        ],
    ),
    _group("state", "Show, check or move the record of deployments.", _STATE_COMMANDS),
    _group(
        "config",
        "Show what an environment is set to, and where each value comes from.",
        _CONFIGURATION_COMMANDS,
        params=[ENVIRONMENT, JSON],
        callback=_configuration_without_command,
        invoke_without_command=True,
    ),
    _group("db", "Manage databases: backups, migrations and restores.", _DATABASE_COMMANDS),
    _group("notify", "Try who is told about deployments, and send what is due.", NOTIFY_COMMANDS),
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
    _group(
        "abreast",
        "Deploy a project's services side by side, as one release: all go live together, or none does.",
        COMMANDS,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_overview_without_command,
        invoke_without_command=True,
    )
)
