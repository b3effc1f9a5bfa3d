"""What a deploying command asks git in any case. It is asked first, and answers while the command is loaded."""

from contextlib import suppress
from pathlib import Path

from abreast.config.files import find_config_file
from abreast.core.errors import ConfigError
from abreast.wiring.repository import project_repository


def ask_who() -> None:
    """Ask who deploys."""
    _ask(uncommitted=False)


def ask_who_and_what() -> None:
    """Ask who deploys, and whether everything is committed."""
    _ask(uncommitted=True)


def _ask(*, uncommitted: bool) -> None:
    with suppress(ConfigError, FileNotFoundError):  # the command itself says what is wrong
        project_repository(find_config_file(Path.cwd()).parent).ask_ahead(uncommitted=uncommitted)
