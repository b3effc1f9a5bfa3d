"""A database of the PostgreSQL server that abreast runs for an environment."""

from collections.abc import Mapping, Sequence

from abreast.core.errors import DatabaseStoppedError
from abreast.core.schema.migration_files import AppliedMigration, ForeignHistory
from abreast.core.schema.tables import Tables
from abreast.database.interface import Database, DatabaseCopy, DatabaseStats
from abreast.database.metadata_tables import DEFAULT_MIGRATIONS_TABLE
from abreast.database.postgres.client import connect, encode_sql, quote_identifier
from abreast.database.postgres.cluster import Cluster, no_server_error
from abreast.database.postgres.connection_url import database_name, with_database
from abreast.database.postgres.database import MAINTENANCE_DATABASE, PostgresDatabase
from abreast.database.postgres.programs import find_newest_server

CONNECT_TIMEOUT = 10.0


class ManagedDatabase(PostgresDatabase):
    """The database of a URL without a server, such as ``postgresql:///shop``, in a cluster.

    Until a deployment has made it, it reads as empty. Raises DatabaseStoppedError if it is there and the server does
    not run.
    """

    def __init__(
        self, template: str, cluster: Cluster, *, copy_of: str = "", migrations_table: str = DEFAULT_MIGRATIONS_TABLE
    ) -> None:
        url = cluster.url(template) if cluster.exists else template
        super().__init__(url, copy_of=copy_of, migrations_table=migrations_table)
        self._template, self._cluster = template, cluster

    def exists(self) -> bool:
        """Return whether the database exists."""
        if not self._cluster.exists:
            return False
        if not self._cluster.is_ready:
            environment = self._cluster.folder.parent.name
            raise DatabaseStoppedError(
                f"PostgreSQL of {environment} does not run",
                need="a deployment, which starts it",
                next=f"abreast deploy --env {environment}",
            )
        return super().exists()

    def engine_version(self) -> str:
        """Return the server's version, of the programs that will make it if there is none yet.

        Raises DatabaseError if they are not installed.
        """
        if self.exists():
            return super().engine_version()
        if (programs := find_newest_server()) is None:
            raise no_server_error()
        return str(programs.version)

    def stats(self) -> DatabaseStats:
        """Return rows, counted, and size."""
        return super().stats() if self.exists() else DatabaseStats()

    def estimate_row_counts(self) -> Mapping[str, int]:
        """Return an estimate of each table's rows."""
        return super().estimate_row_counts() if self.exists() else {}

    def tables(self) -> Tables:
        """Return the tables and views, except abreast's own."""
        return super().tables() if self.exists() else {}

    def owner(self) -> str:
        """Return the owner recorded by ``claim``, "" if there is none."""
        return super().owner() if self.exists() else ""

    def restored_by(self) -> str:
        """Return the deployment that restored this database, "" if there is none."""
        return super().restored_by() if self.exists() else ""

    def applied_migrations(self) -> Sequence[AppliedMigration]:
        """Return the applied migrations in order."""
        return super().applied_migrations() if self.exists() else ()

    def has_migrations_table(self) -> bool:
        """Return whether abreast's table of migrations exists."""
        return self.exists() and super().has_migrations_table()

    def foreign_history(self) -> ForeignHistory | None:
        """Return the history that another migration tool keeps in this database, None if there is none."""
        return super().foreign_history() if self.exists() else None

    def list_copies(self) -> list[DatabaseCopy]:
        """Return the copies on this server."""
        return super().list_copies() if self.exists() else []

    def redirected_variables(self, variables: Mapping[str, str], copy: Database) -> Mapping[str, str]:
        """Return the variables that lead to this database, leading to ``copy`` instead."""
        return super().redirected_variables(variables, copy) if self.exists() else {}

    def variables_leading_here(self, variables: Mapping[str, str]) -> frozenset[str]:
        """Return the names of the variables that lead to this database."""
        return super().variables_leading_here(variables) if self.exists() else frozenset()

    def sibling_copy(self, name: str, *, swappable: bool = False) -> "ManagedDatabase":  # noqa: ARG002 (one server)
        """Return the copy called ``name``."""
        template = with_database(self._template, self._sibling_name(name))
        return ManagedDatabase(template, self._cluster, copy_of=self._name, migrations_table=self._migrations_table)

    def drop(self) -> None:
        """Delete this copy, if it exists. Its server may be gone with it."""
        if self._cluster.exists:
            super().drop()


def make_database(url: str) -> None:
    """Make the database that a URL leads to, unless it exists. Raises DatabaseError."""
    name = database_name(url)
    with connect(with_database(url, MAINTENANCE_DATABASE), CONNECT_TIMEOUT) as db:
        if db.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            db.execute(encode_sql(f"CREATE DATABASE {quote_identifier(name)}"))
