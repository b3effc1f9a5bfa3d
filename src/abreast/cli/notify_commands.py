"""The commands of ``abreast notify``, their options and their help: a part of the table in ``main``."""

import click

from abreast.cli.lazy import LazyCommand, load

NOTIFY_COMMANDS = (
    LazyCommand(
        "test",
        "abreast.cli.commands.notifications:send_tests",
        "Send a test to each receiver of abreast.yml, or to one RECEIVER.\n\n"
        "Says whether it was delivered, or only accepted. Alerts nobody: PagerDuty gets a change event. "
        "Returns 1 if one cannot be reached.",
        [click.Argument(["receiver"], required=False)],
    ),
    LazyCommand(
        "send",
        "abreast.cli.commands.notifications:send_overdue",
        "Send what could not be told, and digests that are due.\n\n"
        "Deployments do that too, so it is for times without any. Returns 1 if something is still not told.",
        [
            click.Option(
                ["--env", "environment"],
                metavar="E",
                help="Only this environment.",
                shell_complete=lambda _, __, incomplete: load("abreast.cli.completion:environments")(incomplete),
            )
        ],
    ),
)
