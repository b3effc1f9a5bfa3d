"""Options that commands of several groups have."""

from collections.abc import Callable

import click

from abreast.cli.lazy import load


def names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return the function by which a shell completes names of this kind."""
    return lambda _, __, incomplete: load(f"abreast.cli.completion:{kind}")(incomplete)


ENVIRONMENT = click.Option(
    ["--env", "environment"], metavar="E", help="The environment. Default: the only one, or local.",
    shell_complete=names("environments"),
)  # fmt: skip
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on standard output.")
YES = click.Option(["--yes"], is_flag=True, help="Do not ask for confirmation.")
