"""The variables that every command of the project starts with."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

INHERITED_VARIABLES = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_BUILDKIT",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
"""The caller's variables that every child process inherits. abreast.yml must name any other."""


def inherited_environment(variables: Mapping[str, str], own_prefix: str = sys.prefix) -> dict[str, str]:
    """Return the caller's variables that child processes inherit.

    The virtual environment that abreast itself runs in (``own_prefix``) is taken out: its Python and its packages are
    not the project's.
    """
    inherited = {name: value for name, value in variables.items() if name in INHERITED_VARIABLES or name[:3] == "LC_"}
    if own_prefix == sys.base_prefix:
        return inherited
    if _is_same(inherited.get("VIRTUAL_ENV", ""), own_prefix):
        del inherited["VIRTUAL_ENV"]
    programs = str(Path(own_prefix) / "bin")
    folders = inherited.get("PATH", os.defpath).split(os.pathsep)
    return {**inherited, "PATH": os.pathsep.join(folder for folder in folders if not _is_same(folder, programs))}


def _is_same(folder: str, other: str) -> bool:
    return bool(folder) and os.path.realpath(folder) == os.path.realpath(other)
