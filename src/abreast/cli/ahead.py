"""What a deploying command asks git and its record in any case. They answer while the command is loaded."""

import os
from contextlib import suppress
from pathlib import Path

from abreast.config.files import find_config_file
from abreast.core.errors import AbreastError
from abreast.wiring.repository import project_repository
from abreast.wiring.state_folder import state_folder
from abreast.wiring.state_location import is_elsewhere, state_location


def ask_who() -> None:
    """Ask who deploys."""
    with suppress(AbreastError, OSError):  # the command itself says what is wrong
        project_repository(find_config_file(Path.cwd()).parent).ask_ahead(uncommitted=False)


def ask_who_and_what() -> None:
    """Ask who deploys, whether everything is committed, and what is recorded elsewhere."""
    with suppress(AbreastError, OSError):  # as above
        file = find_config_file(Path.cwd())
        state = state_folder(file.parent, os.environ)
        project_repository(file.parent).ask_ahead(uncommitted=_is_ignored(state))
        if is_elsewhere(location := state_location(os.environ)):
            from abreast.wiring.state_homes import open_ahead  # noqa: PLC0415 (most projects have no home elsewhere)

            open_ahead(location, file, state)


def _is_ignored(state: Path) -> bool:
    """Whether git ignores the records of abreast. The first command that opens the ledger sees to it."""
    return (state / ".gitignore").exists()
