"""The commands of the groups `config`, `db` and `maintenance`."""

import click

from abreast.cli.lazy import LazyCommand, load
from abreast.cli.options import (
    ASK_WHO,
    ASKED_REASON,
    ENVIRONMENT,
    JSON,
    REASON,
    SERVICES,
    YES,
    Duration,
    RecordedText,
    flag,
    names,
)


def configuration_without_command(**options: object) -> int:
    """Show what an environment is set to, if no command is given."""
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    return int(load("abreast.cli.commands.configuration:show")(**options))


def maintenance_without_command(**options: object) -> int:
    """Show which services are in maintenance, if no command is given."""
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    return int(load("abreast.cli.commands.maintenance:show")(**options))


MAINTENANCE_OPTIONS = (
    click.Option(["--env", "environment"], metavar="E", help="Only this environment.",
                 shell_complete=names("environments")),
    JSON,
)  # fmt: skip
"""What shows which services are in maintenance takes these."""

MAINTENANCE_COMMANDS = (
    LazyCommand(
        "on",
        "abreast.cli.commands.maintenance:on",
        "Answer users with a maintenance page, status 503, instead of live services.\n\n"
        "Default: all services that users reach. Either all named ones are in maintenance then, or none.",
        [
            ENVIRONMENT,
            SERVICES,
            click.Option(["--allow"], multiple=True, metavar="ADDRESS",
                         help="Let this address through, or a range such as 203.0.113.0/24. May be repeated."),
            click.Option(["--retry-after"], type=Duration(), metavar="TIME",
                         help="When clients may ask again, such as 10m. Default: 5m."),
            click.Option(["--message"], default="", metavar="TEXT", type=RecordedText(lines=True),
                         help="What the page says."),
            ASKED_REASON,
            JSON,
        ],
    ),
    LazyCommand(
        "off",
        "abreast.cli.commands.maintenance:off",
        "End maintenance: users reach what is live. Default: of all services.",
        [ENVIRONMENT, SERVICES, REASON, JSON],
    ),
    LazyCommand(
        "status",
        "abreast.cli.commands.maintenance:show",
        "Show which services are in maintenance: since when, by whom and why.",
        MAINTENANCE_OPTIONS,
    ),
)  # fmt: skip

CONFIGURATION_COMMANDS = (
    LazyCommand(
        "diff",
        "abreast.cli.commands.configuration:diff",
        "Show the settings that differ between two environments.",
        [
            click.Argument(["first"], shell_complete=names("environments")),
            click.Argument(["second"], shell_complete=names("environments")),
            JSON,
        ],
    ),
)

DATABASE_COMMANDS = (
    LazyCommand(
        "backup",
        "abreast.cli.commands.databases:backup",
        "Back databases up, and verify each backup by restoring it.\n\nThe restore goes into a copy of the database.",
        [ENVIRONMENT, SERVICES, flag("--scheduled", "Keep running, and back up when `backups: schedule` says."), JSON],
    ),
    LazyCommand(
        "list",
        "abreast.cli.commands.databases:list_backups",
        "List backups, newest first.",
        [ENVIRONMENT, SERVICES, flag("--copies", "List the copies of the databases instead."), JSON],
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
        [ENVIRONMENT, SERVICES, flag("--scheduled", "Keep running, and drill when `backups: drill` says."), JSON],
        ahead=ASK_WHO,
    ),
)
