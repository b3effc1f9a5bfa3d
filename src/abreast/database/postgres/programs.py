"""Finds programs of PostgreSQL by version: Debian's, which has one folder for each, and those on the PATH."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from abreast.core.errors import DatabaseError

DEBIAN_FOLDER = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


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


def find_server_folder(version: int) -> Path:
    """Return the folder of the server's programs of a major version. Raises DatabaseError."""
    found = dict(_installed("postgres"))
    if version not in found:
        raise DatabaseError(
            f"the server of PostgreSQL {version} is not installed",
            need="its programs on this machine, to recover in a private server; none needs to run",
            next=f"apt-get install postgresql-{version}",
        )
    return found[version]


def _installed(name: str) -> Iterator[tuple[int, Path]]:
    """Yield version and folder of each program called ``name``; of one version, the last counts."""
    if on_path := shutil.which(name):
        told = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        if version := _VERSION.search(told):
            yield int(version[1]), Path(on_path).parent
    for program in DEBIAN_FOLDER.glob(f"*/bin/{name}"):
        yield int(program.parts[4]), program.parent
