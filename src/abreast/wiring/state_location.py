"""Where the records of a project are kept. Imports next to nothing, so that ``abreast status`` starts fast."""

from collections.abc import Mapping


def state_location(variables: Mapping[str, str]) -> str:
    """Return where the records are: ``ABREAST_STATE``, else ``git`` in GitHub Actions, else "" for ``.abreast``."""
    return variables.get("ABREAST_STATE") or ("git" if variables.get("GITHUB_ACTIONS") == "true" else "")


def is_elsewhere(location: str) -> bool:
    """Return whether records are kept outside of this machine's files."""
    return location == "git" or location.startswith(("postgresql://", "postgres://"))
