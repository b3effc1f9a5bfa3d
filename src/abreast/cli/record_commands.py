"""The commands on the record: ``abreast state``, ``audit`` and ``incident``. Part of the table of ``main``."""

from pathlib import Path

import click

from abreast.cli.lazy import LazyCommand
from abreast.cli.options import ASKED_REASON, DEPLOYMENT, JSON, YES, RecordedText, flag, names

CHECKPOINTS = click.Option(
    ["--checkpoint", "checkpoints"], type=click.Path(path_type=Path), multiple=True, metavar="FILE",
    help="Also check that this checkpoint stands, which `abreast audit export` wrote, or trust this public key.",
)  # fmt: skip
CHECKS = (
    CHECKPOINTS,
    click.Option(["--github"], is_flag=True,
                 help="Also ask GitHub who started the runs of workflows. Needs a token, and GITHUB_REPOSITORY."),
    click.Option(["--gitlab"], is_flag=True,
                 help="Also ask GitLab who started jobs, and of which commit. Needs GITLAB_TOKEN and CI_PROJECT_PATH."),
    JSON,
)  # fmt: skip

STATE_COMMANDS = (
    LazyCommand(
        "show",
        "abreast.cli.commands.state:show",
        "Show where the record is, and what of it is not there yet.",
        [JSON],
    ),
    LazyCommand(
        "verify",
        "abreast.cli.commands.audit:verify",
        "Check every entry of the record, and everything that follows from it. The same as `abreast audit verify`.",
        CHECKS,
    ),
    LazyCommand(
        "move",
        "abreast.cli.commands.state:move",
        "Move the record elsewhere. The environments are locked where it was.",
        [click.Option(["--to"], required=True, metavar="URL", help="git, postgresql://…, or a folder."), YES],
    ),
)

AUDIT_COMMANDS = (
    LazyCommand(
        "verify",
        "abreast.cli.commands.audit:verify",
        "Check that no entry of the audit trail was edited, removed or put elsewhere.\n\n"
        "Returns 1 if one was, and names it.",
        CHECKS,
    ),
    LazyCommand(
        "export",
        "abreast.cli.commands.audit:export",
        "Print who did what, when, where and why, as JSON lines.",
        [
            click.Option(["--since"], metavar="TIME", help="From this day or moment on, such as 2026-11-21 (UTC)."),
            click.Option(["--until"], metavar="TIME", help="Up to this moment, or to the end of this day."),
            click.Option(["--env", "environment"], metavar="E", help="Of this environment.",
                         shell_complete=names("environments")),
            click.Option(["--by"], metavar="WHO", help="By this person: a name, or an id."),
            click.Option(["--csv", "as_csv"], is_flag=True, help="As CSV, for spreadsheets."),
            click.Option(["--report"], is_flag=True,
                         help="A report for auditors instead, in Markdown, or with --json in JSON."),
            click.Option(["--checkpoint"], type=click.Path(path_type=Path), metavar="FILE",
                         help="Also sign the end of the record and write that to FILE, to be kept elsewhere."),
            JSON,
        ],
    ),
    LazyCommand(
        "change",
        "abreast.cli.commands.change_records:change",
        "Print the record of one change: its risk, its approval, what it was, how it was tried, the way back.\n\n"
        "DEPLOYMENT is an id, enough of its beginning or end, or a release. Default: the latest change of production.",
        [
            DEPLOYMENT,
            click.Option(["--env", "environment"], metavar="E", help="The latest change of this environment.",
                         shell_complete=names("environments")),
            JSON,
        ],
    ),
)  # fmt: skip

INCIDENT_COMMAND = LazyCommand(
    "incident",
    "abreast.cli.commands.incidents:incident",
    "List incidents, those that are open first, or print the report of one.\n\n"
    "DEPLOYMENT is an id, enough of its beginning or end, or a release. To add to an incident, default: the latest.",
    [
        DEPLOYMENT,
        click.Option(["--env", "environment"], metavar="E", help="Of this environment.",
                     shell_complete=names("environments")),
        click.Option(["--note"], metavar="TEXT", type=RecordedText(lines=True), help="Add to its timeline."),
        flag("--close", "Close it. Needs --reason."),
        flag("--reopen", "Open it again. Needs --reason."),
        ASKED_REASON,
        JSON,
    ],
)  # fmt: skip
