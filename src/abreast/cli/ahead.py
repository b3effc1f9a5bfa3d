"""What a deploying command asks git in any case. It is asked first, and answers while the command is loaded."""

import os
from contextlib import suppress
from pathlib import Path

from abreast.config.files import find_config_file
from abreast.core.errors import AbreastError
from abreast.wiring.repository import project_repository
from abreast.wiring.state_folder import state_folder


def ask_who() -> None:
    """Ask who deploys."""
    _ask(uncommitted=False)


def ask_who_and_what() -> None:
    """Ask who deploys, and whether everything is committed."""
    _ask(uncommitted=True)


def _ask(*, uncommitted: bool) -> None:
    with suppress(AbreastError, FileNotFoundError):  # the command itself says what is wrong
        root = find_config_file(Path.cwd()).parent
        uncommitted = uncommitted and _is_ignored(state_folder(root, os.environ))
        project_repository(root).ask_ahead(uncommitted=uncommitted)


def _is_ignored(state: Path) -> bool:
    """Whether git ignores the records of abreast. The first command that opens the ledger sees to it."""
    return (state / ".gitignore").exists()
