"""The folder in which a command runs."""

from pathlib import Path

from abreast.core.errors import UsageError


def working_directory() -> Path:
    """Return the current folder. Raises UsageError if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder no longer exists", next="cd to your project") from error
