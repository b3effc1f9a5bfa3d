"""Asks a person at the terminal, before anything changes."""

import sys

import click

from abreast.core.errors import UsageError


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
    return str(click.prompt("Reason (recorded in the ledger)", err=on_stderr))
