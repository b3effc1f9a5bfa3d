"""Asks a person at the terminal, before anything changes."""

import sys

import click

from abreast.cli.options import RecordedText
from abreast.core.errors import UsageError
from abreast.core.rollback import RollbackCause, read_cause


def confirm(question: str, consent_to: str, *, yes: bool, on_stderr: bool = False) -> None:
    """Ask, unless ``yes``. A no ends the command. Raises UsageError if nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: standard input is not a terminal",
            need=f"your consent to {consent_to}",
            next="the same command with --yes",
        )
    click.confirm(question, abort=True, err=on_stderr)


def required_reason(given: str, *, on_stderr: bool = False) -> str:
    """Return the given reason, or else what a person types. Raises UsageError if nobody can be asked."""
    if given.strip():
        return given
    if not sys.stdin.isatty():
        raise UsageError("no reason given", need="--reason, which the ledger records")
    return _ask_for_reason(on_stderr=on_stderr)


def rollback_reason(given: str, *, yes: bool, on_stderr: bool = False) -> str:
    """Return why a release is rolled back, as ``cause: text``. What is missing of it, a person at a terminal is asked.

    Where nobody can be asked, or with ``yes``, a reason without a cause is taken as it is. Raises UsageError if there
    is none at all.
    """
    causes = ", ".join(RollbackCause)
    if given.strip() and (yes or read_cause(given) or not sys.stdin.isatty()):
        return given
    if not sys.stdin.isatty():
        raise UsageError("no reason given", need=f"--reason 'CAUSE: …', which the ledger records; CAUSE: {causes}")
    for number, cause in enumerate(RollbackCause, 1):
        click.echo(f"  {number}  {cause}", err=on_stderr)
    number = click.prompt("Which of these", type=click.IntRange(1, len(RollbackCause)), err=on_stderr)
    text = given or _ask_for_reason(on_stderr=on_stderr)
    return f"{list(RollbackCause)[number - 1]}: {text}"


def _ask_for_reason(*, on_stderr: bool) -> str:
    return str(click.prompt("Reason (recorded in the ledger)", type=RecordedText(lines=False), err=on_stderr))
