"""The variables that programs get from this process."""

import os
from collections.abc import Mapping

_OF_GIT = ("GIT_", "XDG_", "LC_")
_OF_THE_USER = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "EMAIL"})


def process_variables() -> dict[str, str]:
    """Return the variables of this process, though another thread may take some away meanwhile."""
    return {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}


def local_git_variables() -> Mapping[str, str]:
    """Return what git needs to look into a repository that is here. No credential is among it."""
    variables = process_variables()
    return {name: value for name, value in variables.items() if name in _OF_THE_USER or name.startswith(_OF_GIT)}
