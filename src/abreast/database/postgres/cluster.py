"""The files of the PostgreSQL server that abreast runs for an environment: a cluster, its password and its port."""

import os
import random
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abreast.core.errors import DatabaseError
from abreast.database.postgres.changes.private_server import hand_over, server_user
from abreast.database.postgres.client import check_driver
from abreast.database.postgres.connection_url import join_url, split_url
from abreast.database.postgres.programs import SERVER_PACKAGE, find_newest_server, find_server_folder
from abreast.machine import run_as
from abreast.machine.kernel import PROCESSES
from abreast.machine.tethered_program import TetheredProgram, User

ROLE = "abreast"
"""The superuser that owns all databases, as the first role of PostgreSQL's container image does."""

HOST = "127.0.0.1"
PORTS = range(32000, 32768)
"""Above the ports of instances, and below those that the kernel gives to anybody (``ip_local_port_range``)."""

DATA, PASSWORD, PORT = "data", "password", "port"
_PASSWORD_BYTES = 24
_INITDB_OPTIONS = (
    f"--username={ROLE}", "--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8",
    f"--locale={'C.UTF-8' if sys.platform == 'linux' else 'en_US.UTF-8'}", "--lc-messages=C",
)  # fmt: skip


class Cluster:
    """A cluster in ``folder``, which is there as a whole or not at all.

    Whoever is root has it run by another user, to whom it belongs; the folders above it stay closed to that user.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return (self.folder / DATA).is_dir()

    @property
    def is_ready(self) -> bool:
        """Whether the server runs and takes connections, by its lock file: whoever else has its port is not asked."""
        try:
            pid, *_, state = (self.folder / DATA / "postmaster.pid").read_text().split()
            return state == "ready" and "postgres" in PROCESSES.name(
                int(pid)
            )  # after a reboot, another one has its pid
        except (OSError, ValueError):
            return False

    @property
    def port(self) -> int:
        """The port of 127.0.0.1 that it listens on: always the same, since running services have it in their URL."""
        return int(self._read(PORT))

    @property
    def port_file(self) -> Path:
        """The file that has the port."""
        return self.folder / PORT

    def url(self, template: str) -> str:
        """Return a URL that names a database and no server with the server, the role and its password."""
        _, name, query = split_url(template)
        return join_url(template, f"{ROLE}:{self._read(PASSWORD)}@{HOST}:{self.port}", name, query)

    def check_programs(self) -> None:
        """Raise DatabaseError unless this machine has what makes the cluster, or what made it, and what connects."""
        check_driver()
        if self.exists:
            self._programs()
        elif find_newest_server() is None:
            raise no_server_error()
        server_user()

    def make(self) -> None:
        """Make the cluster unless it exists. Killed at any moment, it leaves nothing, or all of it."""
        if self.exists:
            return
        if (programs := find_newest_server()) is None:
            raise no_server_error()
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in self.folder.parent.glob(f".{self.folder.name}-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        home = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=self.folder.parent))
        try:
            self._fill(home, programs.folder)
            home.rename(self.folder)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        _sync(self.folder.parent)

    def _fill(self, home: Path, programs: Path) -> None:
        user = server_user()
        (home / DATA).mkdir(mode=0o700)
        _write(home / PASSWORD, secrets.token_urlsafe(_PASSWORD_BYTES))
        _write(home / PORT, str(_free_port()))
        for path in (home, home / DATA, home / PASSWORD):
            hand_over(path, user)
        with _reachable(home, user) as (place, inherited):
            files = (f"--pgdata={place}/{DATA}", f"--pwfile={place}/{PASSWORD}")
            env = {"PATH": os.defpath, "LC_ALL": "C"}
            program = TetheredProgram(
                [str(programs / "initdb"), *files, *_INITDB_OPTIONS], env=env, user=user, inherits=inherited
            )
            if program.wait():
                raise DatabaseError(f"initdb: {program.complaint}", need=f"a whole {SERVER_PACKAGE}, and free space")
        _sync(home)

    def command(self) -> tuple[str, ...]:
        """Return what runs the server. Raises DatabaseError if its programs are gone."""
        user, folder = server_user(), str(self.folder.resolve())
        settings = {"listen_addresses": HOST, "port": str(self.port), "unix_socket_directories": "", "fsync": "on"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = str(self._programs() / "postgres")
        if user is None:
            return (program, "-D", f"{folder}/{DATA}", *options)
        become = (sys.executable, "-IS", run_as.__file__, str(user.uid), str(user.gid), folder)
        return (*become, "--", program, "-D", f"{run_as.HELD}/{DATA}", *options)

    def _programs(self) -> Path:
        """Return the programs of the version that made it: no other one reads its files."""
        version = int((self.folder / DATA / "PG_VERSION").read_text())
        return find_server_folder(version, "which made the databases of this environment")

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text().strip()
        except OSError as error:
            raise DatabaseError(
                f"{error.filename}: {error.strerror}", need="the files of the server's folder"
            ) from error


def no_server_error() -> DatabaseError:
    """Return the error for a machine that has no server."""
    return DatabaseError(
        "PostgreSQL is not installed on this machine, so abreast cannot run it",
        need=f"{SERVER_PACKAGE}, or DATABASE_URL of a server that runs",
        next="apt-get install postgresql, or: export DATABASE_URL=postgresql://…",
    )


@contextmanager
def _reachable(folder: Path, user: User | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield a path by which ``user`` reaches a folder, and what a program has to inherit for that.

    Only root may enter the folders above it; who has it open need not.
    """
    if user is None:
        yield str(folder.resolve()), ()
        return
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{held}", (held,)
    finally:
        os.close(held)


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise DatabaseError(f"no port of {PORTS[0]} to {PORTS[-1]} is free", need="one for PostgreSQL")


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Have the disk know what is in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
