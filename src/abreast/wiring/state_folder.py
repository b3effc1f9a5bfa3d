"""The folder of a project's records on this machine. Imports little, as ``repository`` does."""

from collections.abc import Mapping
from pathlib import Path

from abreast.core.errors import UsageError
from abreast.wiring.state_location import is_elsewhere, state_location


def state_folder(root: Path, variables: Mapping[str, str]) -> Path:
    """Return the folder that ``ABREAST_STATE`` names (``sqlite:///path/ledger.db`` or a folder), else ``.abreast``."""
    location = state_location(variables)
    if not location or is_elsewhere(location):
        return root / ".abreast"
    if location.startswith("sqlite:///"):
        return Path(location.removeprefix("sqlite:///")).absolute().parent
    if "://" in location:
        raise UsageError(
            f"ABREAST_STATE={location.split('://', 1)[0]}://… is not supported",
            need="git, postgresql://…, sqlite:///PATH/ledger.db or a folder",
        )
    return Path(location).absolute()
