"""The servers that abreast runs for databases, for services that ask for one. Imports little: most do not."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from abreast.core.model import Service
from abreast.database.interface import DatabaseServers

if TYPE_CHECKING:
    from abreast.wiring.postgres_server import PostgresServer


class ManagedServers(DatabaseServers):
    """The server that abreast runs for an environment. ``databases`` returns which of it some services have."""

    def __init__(
        self, server: "Callable[[], PostgresServer]", databases: Callable[[Sequence[Service]], Sequence[str]]
    ) -> None:
        self._server, self._databases = server, databases

    def make(self, services: Sequence[Service]) -> None:
        """Make and start the server and the databases of the services, as far as they are missing."""
        if names := self._databases(services):
            self._server().make(names)

    def start(self, services: Sequence[Service]) -> None:
        """Start the server if it was made before."""
        if self._databases(services):
            self._server().start()

    def check(self, services: Sequence[Service]) -> None:
        """Raise DatabaseError if ``make`` could not succeed."""
        if self._databases(services):
            self._server().check()

    def note(self, services: Sequence[Service]) -> str:
        """Return which server ``make`` would make, "" if it is there or none is asked for."""
        return self._server().note() if self._databases(services) else ""
