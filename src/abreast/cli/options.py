"""Options and arguments that commands have in common, and how groups are made."""

from collections.abc import Callable, Sequence

import click

from abreast.cli.lazy import load


class OrderedGroup(click.Group):
    """A group that lists its commands in the order of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names in the order of the table."""
        return list(self.commands)


def group(name: str, help: str, commands: Sequence[click.Command], **options: object) -> click.Group:
    """Return a group of commands, in this order."""
    return OrderedGroup(name, commands=list(commands), help=help, **options)  # type: ignore[arg-type]


def flag(name: str, help: str) -> click.Option:
    """Return an option without a value."""
    return click.Option([name], is_flag=True, help=help)


def names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return the function by which a shell completes names of this kind."""
    return lambda _, __, incomplete: load(f"abreast.cli.completion:{kind}")(incomplete)


ENVIRONMENT = click.Option(
    ["--env", "environment"], metavar="E", help="The environment. Default: the only one, local, or development.",
    shell_complete=names("environments"),
)  # fmt: skip
SERVICES = click.Option(
    ["--service", "services"], multiple=True, metavar="S", help="Only this service. May be repeated.",
    shell_complete=names("services"),
)  # fmt: skip
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on standard output.")
YES = flag("--yes", "Do not ask for confirmation.")
FORCE = flag("--force", "Include services that did not change.")
SINCE = click.Option(["--since"], metavar="REF", help="Find changes since this commit, not since what is live.")


class RecordedText(click.ParamType[str]):
    """What a person writes for the record, such as a reason. What is recorded stays, so no secret enters it.

    Of ``lines``, a text may have one or more. A reason has one: commands show it within a line of theirs, and a second
    one could look like a line of the command.
    """

    name = "text"

    def __init__(self, *, lines: bool) -> None:
        self._lines = lines

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 (click's signature)
        """Return the text without known secrets, and what looks like one."""
        text = str(value or "")
        shown = text if self._lines else " ".join(text.split())
        return str(load("abreast.cli.redaction:redact_only")(shown)) if shown else ""


def reason(help: str) -> click.Option:
    """Return an option that takes a reason; "" if it is not given."""
    return click.Option(["--reason"], default="", metavar="R", type=RecordedText(lines=False), help=help)


REASON = reason("Why. Recorded in the ledger.")
ASKED_REASON = reason("Why. Recorded in the ledger. A terminal asks for it.")
VERBOSE = flag("--verbose", "Show the output of builds and tests while they run.")
COUNT = click.IntRange(1, 1_000_000)
"""How many lines of something there are at most."""
ASK_WHO = "abreast.cli.ahead:ask_who"
ASK_WHO_AND_WHAT = "abreast.cli.ahead:ask_who_and_what"
DEPLOYMENT = click.Argument(["deployment"], required=False, shell_complete=names("deployments"))


class Duration(click.ParamType[float]):
    """A duration such as 90m or 2h30m, as abreast.yml writes it, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds, or fail with what was expected."""
        try:
            seconds = float(load("abreast.config.field_types:parse_duration")(value))
        except ValueError as error:
            self.fail(f"{error}, found {value!r}", param, ctx)
        if not seconds:
            self.fail(f"expected a duration above 0, found {value!r}", param, ctx)
        return seconds
