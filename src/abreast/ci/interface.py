"""The port of CI systems: the run that a command belongs to. A provider is one pure function of the environment."""

from collections.abc import Callable, Mapping

from abreast.core.frozen_dataclass import dataclass

ReadText = Callable[[str], str]
"""Returns the content of the file at a path. Raises OSError or ValueError if it cannot be read."""


@dataclass(frozen=True, slots=True)
class CiRun:
    """One run of a CI system, as far as the system tells: "" and None are unknown.

    ``actor`` is who started it, a login or an id; ``actor_id`` is the account, which stays when a login
    changes. ``commit`` is the one that was pushed: of a pull request its head, not the merge that was checked out.
    ``is_fork``: the pull request comes from another repository. ``repository`` is
    OWNER/NAME at ``server_url``. ``url`` shows this run, and this ``attempt`` at it where attempts have pages.
    """

    provider: str
    url: str
    actor: str = ""
    event: str = ""
    ref: str = ""
    branch: str = ""
    commit: str = ""
    pull_request: int | None = None
    is_fork: bool | None = False
    repository: str = ""
    server_url: str = ""
    api_url: str = ""
    attempt: int = 1
    actor_id: str = ""


Provider = Callable[[Mapping[str, str], ReadText], CiRun | None]
"""Returns the run that the environment's variables describe, None if they are not of this system."""


def number(text: str | None) -> int | None:
    """Return a positive whole number, None for any other text."""
    return int(text) if text and text.isascii() and text.isdecimal() and int(text) > 0 else None


def git_ref(branch: str, tag: str) -> str:
    """Return the full name of the tag, or else of the branch; "" if there is neither."""
    if tag:
        return f"refs/tags/{tag}"
    return f"refs/heads/{branch}" if branch else ""
