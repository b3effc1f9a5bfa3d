"""The PostgreSQL server of one environment on this machine: a cluster, kept running by the environment's supervisor."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from abreast.core.errors import DatabaseError, PlatformError
from abreast.database.postgres.cluster import Cluster
from abreast.database.postgres.managed_database import make_database
from abreast.database.postgres.programs import find_newest_server
from abreast.machine.file_lock import FileLock
from abreast.machine.listeners import port_owner
from abreast.platforms.local.supervisor.client import POSTGRES, Instance, InstanceSpec, SupervisorClient

POLL_INTERVAL = 0.05
RECOVERY_TIMEOUT = 600.0
"""Seconds to wait for a server that was killed: it replays what it had not written."""


class PostgresServer:
    """The server of the environment in ``home``, which writes its messages to ``log``.

    Raises DatabaseError for what it cannot do, with the way out.
    """

    def __init__(self, home: Path, log: Path) -> None:
        self.cluster = Cluster(home / POSTGRES)
        self._home, self._log = home, log
        self._supervisor = SupervisorClient(home)

    def make(self, names: Iterable[str]) -> None:
        """Make the cluster and these databases, as far as they are missing, and start the server."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            self.cluster.make()
            self._start()
            for name in names:
                make_database(self.cluster.url(f"postgresql:///{name}"))

    def start(self) -> None:
        """Start the server of a cluster that was made before, unless it runs."""
        if self.cluster.exists:
            with self._lock():
                self._start()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other commands from making or starting it meanwhile."""
        lock = FileLock(self._home / f"{POSTGRES}.lock")
        while not lock.try_acquire():
            time.sleep(POLL_INTERVAL)
        try:
            yield
        finally:
            lock.release()

    def _start(self) -> None:
        self.check()
        try:
            self._supervisor.start()
            self._await_start(self._supervisor.ensure(self._spec()))
        except PlatformError as error:
            raise DatabaseError(
                f"PostgreSQL was not started: {error.what}", need=error.need, next=error.next
            ) from error

    def check(self) -> None:
        """Raise DatabaseError if it could not be made or started. Changes nothing."""
        self.cluster.check_programs()
        if not self.cluster.exists or self.cluster.is_ready or self._kept():
            return
        if owner := port_owner(self.cluster.port):
            raise DatabaseError(
                f"port {self.cluster.port}, which PostgreSQL of {self._home.name} has, is taken by {owner}",
                need="that port free, since running services have it in their URL",
                next=f"stop that process; or write a free port to {self.cluster.port_file} and deploy with --force",
            )

    def note(self) -> str:
        """Return that the first deployment makes the cluster, "" if it was made."""
        if self.cluster.exists:
            return ""
        newest = find_newest_server()
        version = f" {newest.version}" if newest else ""
        return (
            f"its database is of PostgreSQL{version}, which abreast runs on this machine: the first deployment makes it"
        )

    def _kept(self) -> Instance | None:
        """Return the server as the supervisor keeps it running, None if it does not."""
        with suppress(PlatformError):
            if self._supervisor.is_running():
                return next((each for each in self._supervisor.instances() if each.id == POSTGRES), None)
        return None

    def _spec(self) -> InstanceSpec:
        return InstanceSpec(
            id=POSTGRES,
            command=self.cluster.command(),
            cwd=Path("/"),
            log=self._log,
            wants_port=True,
            app_port=self.cluster.port,
            stop_signal="SIGINT",
        )

    def _await_start(self, started: Instance) -> None:
        """Wait until the server takes connections."""
        deadline, instance = time.monotonic() + RECOVERY_TIMEOUT, self._kept()
        while not (instance and instance.listening and self.cluster.is_ready):
            if instance is None or instance.restarts > started.restarts + 1 or time.monotonic() > deadline:
                why = (instance.last_exit if instance else "it was stopped") or "it is not ready"
                raise DatabaseError(
                    f"PostgreSQL of {self._home.name} does not start: {why}",
                    need="what its log asks for",
                    next=f"tail {self._log}",
                )
            time.sleep(POLL_INTERVAL)
            instance = self._kept()
