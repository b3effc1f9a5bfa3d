"""Finds programs of PostgreSQL by version: where packages of several versions put them, and on the PATH."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from abreast.core.errors import DatabaseError

PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # the PostgreSQL project's packages for Red Hat
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
"""Where packages put programs, with the version in the folder's name."""

DEBIAN_WRAPPER = "pg_wrapper"
"""What Debian has on the PATH for each of them: it starts one of those in the first place above."""

SERVER_PACKAGE = "PostgreSQL's server (Debian: apt-get install postgresql)"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class ServerPrograms(NamedTuple):
    """The folder of a server's programs, and their major version."""

    version: int
    folder: Path


def find_client_folder(name: str, server: int) -> Path:
    """Return the folder of a client program that is as new as a server's major version, or little newer.

    Raises DatabaseError.
    """
    found = dict(_installed(name))
    fitting = [version for version in found if version >= server]
    if not fitting:
        has = f"is of PostgreSQL {max(found)}, the server of {server}" if found else "is not installed"
        package = f"postgresql-client-{server}"
        raise DatabaseError(f"{name} {has}", need=f"{name} {server} or newer", next=f"apt-get install {package}")
    return found[min(fitting)]


def find_newest_folder(name: str) -> Path | None:
    """Return the folder of the newest program called ``name``, None if there is none."""
    return max(_installed(name), default=(0, None))[1]


def find_server_folder(version: int, purpose: str = "to recover in a private server; none needs to run") -> Path:
    """Return the folder of the server's programs of a major version. Raises DatabaseError."""
    found = dict(_installed("postgres"))
    if version not in found:
        raise DatabaseError(
            f"the server of PostgreSQL {version} is not installed",
            need=f"its programs on this machine, {purpose}",
            next=f"apt-get install postgresql-{version}",
        )
    return found[version]


def find_newest_server() -> ServerPrograms | None:
    """Return the newest server that is installed with all that makes a cluster, None without one."""
    found = [ServerPrograms(*each) for each in _installed("postgres") if (each[1] / "initdb").exists()]
    return max(found, default=None)


def _installed(name: str) -> Iterator[tuple[int, Path]]:
    """Yield version and folder of each program called ``name``; of one version, the last counts."""
    if (on_path := shutil.which(name)) and Path(on_path).resolve().name != DEBIAN_WRAPPER:
        told = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        if version := _VERSION.search(told):
            yield int(version[1]), Path(on_path).parent
    for place in PLACES:
        for program in Path("/").glob(f"{place[1:]}/{name}"):
            yield int(re.findall(r"\d+", str(program.parent))[-1]), program.parent
