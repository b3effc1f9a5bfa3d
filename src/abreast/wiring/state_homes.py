"""Where the records of a project are: a folder here, or a home elsewhere with a mirror of it here."""

import hashlib
import re
import subprocess
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from abreast.config.names import project_name
from abreast.core.errors import UsageError
from abreast.ledger.entry_file import make_state_folder
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.interface import Home, HomeAwayError
from abreast.ledger.mirror import Mirror
from abreast.machine.background import Background

MIRROR_CLASS: type[Mirror] = Mirror
"""The class of the mirror. Tests replace it by one that crashes."""

_BEGUN: dict[tuple[str, Path, Path], Background[Mirror]] = {}
"""The mirrors that take over what is new in their home, until somebody needs them."""


def open_ahead(location: str, config_file: Path, state: Path) -> None:
    """Begin to open the mirror of the home at ``location``, whose answer takes a while."""
    where = (location, config_file, state)
    _BEGUN[where] = Background(partial(_bring_up_to_date, _open_as_it_is(*where)))


def open_mirror(location: str, config_file: Path, state: Path) -> Mirror:
    """Open the mirror of the home at ``location``, as new as the home if that answers (see ``Mirror.trouble``)."""
    where = (location, config_file, state)
    begun = _BEGUN.pop(where, None)
    return begun.result() if begun else _bring_up_to_date(_open_as_it_is(*where))


def _open_as_it_is(location: str, config_file: Path, state: Path) -> Mirror:
    make_state_folder(state)
    mirror = MIRROR_CLASS.open(mirror_folder(location, config_file, state), lambda: datetime.now(UTC))
    try:
        mirror.home = create_home(location, config_file)
    except BaseException:
        mirror.abandon()
        raise
    return mirror


def _bring_up_to_date(mirror: Mirror) -> Mirror:
    """Return the mirror with what is new in its home, and in step with it from now on."""
    try:
        mirror.pull()
    except HomeAwayError as error:
        mirror.trouble = error.what
    except BaseException:
        mirror.abandon()
        raise
    mirror.start()
    return mirror


def mirror_folder(location: str, config_file: Path, state: Path) -> Path:
    """Return the folder of a home's mirror. A password that changes is no other home."""
    where = location.rpartition("@")[2] if "://" in location else location
    return state / "mirrors" / hashlib.sha256(f"{where}\n{project_name(config_file)}".encode()).hexdigest()[:16]


def create_home(location: str, config_file: Path) -> Home:
    """Return the home that ``ABREAST_STATE`` names: ``git``, or the URL of a PostgreSQL database."""
    project = project_name(config_file)
    if location == "git":
        return GitHome(config_file.parent, project, _remote(config_file.parent))
    from abreast.ledger.homes.postgres import PostgresHome  # noqa: PLC0415 (an extra, which not every project needs)

    return PostgresHome(location, project)


def home_title(location: str) -> str:
    """Return a location without the password that it may have."""
    return re.sub(r"//[^/]*@", "//…@", location)


def _remote(root: Path) -> str:
    """Return the project's own remote: ``origin``, or the only one. Raises UsageError if there is none."""
    try:
        found = subprocess.run(["git", "remote"], cwd=root, capture_output=True, text=True, check=False).stdout.split()
    except OSError as error:
        raise UsageError("git is not installed", need="git on the PATH", next="apt-get install git") from error
    if "origin" in found or len(found) == 1:
        return "origin" if "origin" in found else found[0]
    raise UsageError(
        f"ABREAST_STATE is git, and the repository has {', '.join(found) or 'no remote'}",
        need="a remote that is called origin",
        next="git remote add origin URL, or ABREAST_STATE=.abreast to keep the record on this machine",
    )
