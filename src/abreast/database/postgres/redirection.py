"""Finds the variables that lead to a database, however they spell it, and leads them to a copy.

Two spellings are the same database if the servers that they reach say so. So aliases, sockets, host names and poolers
need no rules of their own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from abreast.core.errors import DatabaseError
from abreast.database.postgres.client import connect, encode_sql
from abreast.database.postgres.connection_url import (
    database_name,
    is_ado_net,
    is_java_url,
    is_postgres_url,
    join_url,
    libpq_connection,
    split_url,
    with_ado_net_database,
    with_database,
)

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for the server of a variable. What does not answer here does not answer a migration either."""

_KEYWORDS = re.compile(r"\s*\w+\s*=.*\bdbname\s*=|\s*dbname\s*=", re.DOTALL)
_NAME_VARIABLE = re.compile(r"(^|_)(DB|DATABASE|PG|POSTGRES)|^PGDATABASE$", re.IGNORECASE)
_ADDRESS_PARAMETERS = frozenset({"host", "hostaddr", "port", "dbname", "user", "password"})

_IDENTITY_SQL = (
    "SELECT pg_postmaster_start_time()::text, current_setting('server_version'),"
    " (SELECT oid::int8 FROM pg_database WHERE datname = current_database())"
)
Identity = tuple[object, ...]
"""What distinguishes one database of one server from all others."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """Leads variables from the database at the URL ``real`` to its copy at the URL ``copy``."""

    real: str
    copy: str

    def variables(self, variables: Mapping[str, str]) -> Mapping[str, str]:
        """Return those of ``variables`` that lead to the real database, leading to the copy instead.

        Raises DatabaseError for one that reaches the real database by a way that does not reach the copy.
        """
        redirected = {name: self._redirected(name, value) for name, value in variables.items()}
        return {name: value for name, value in redirected.items() if value != variables[name]}

    def _redirected(self, name: str, value: str) -> str:
        if not leads_to(self.real, name, value):
            return value
        if value == self.real:
            return self.copy
        if value == database_name(self.real):
            return database_name(self.copy)
        led = self._with_copy(value)
        if _identity(led) != _identity_of(self.copy):
            raise DatabaseError(
                f"{name} leads to the real database, and cannot be led to a copy of it",
                need="a server that also knows the copy; a pooler may know only the real database",
                next=f"set {name} to the address of the server itself",
            )
        return led

    def _with_copy(self, value: str) -> str:
        """Return a value with the copy's address; its driver and its other parameters stay."""
        if is_ado_net(value):
            return with_ado_net_database(value, database_name(self.copy))
        if not is_postgres_url(value):
            from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415

            parameters = {**conninfo_to_dict(value), **conninfo_to_dict(libpq_connection(self.copy))}
            return make_conninfo("", **{key: str(text) for key, text in parameters.items() if text is not None})
        (_, _, query), (copy_netloc, name, copy_query) = split_url(value), split_url(self.copy)
        is_same_server = _identity_of(self.real)[:2] == _identity_of(self.copy)[:2]
        if is_java_url(value) or is_same_server:
            return with_database(value, name)
        kept = [pair for pair in query if pair[0] not in _ADDRESS_PARAMETERS]
        return join_url(value, copy_netloc, name, [*kept, *copy_query])


def leads_to(real: str, name: str, value: str) -> bool:
    """Whether a variable leads to the database at the URL ``real``, or names it.

    Raises DatabaseError if that does not answer.
    """
    if value == real or (value == database_name(real) and _NAME_VARIABLE.search(name)):
        return True
    is_connection = is_postgres_url(value) or is_ado_net(value) or _KEYWORDS.match(value)
    return bool(is_connection) and _identity(value) == _identity_of(real)


def _identity_of(url: str) -> Identity:
    if (identity := _identity(url)) is None:
        raise DatabaseError(f"{database_name(url)} does not answer", next="abreast doctor")
    return identity


def _identity(value: str) -> Identity | None:
    """Ask the server which database a connection string reaches; None if it reaches none."""
    try:
        with connect(value, CONNECT_TIMEOUT) as db:
            return tuple(db.execute(encode_sql(_IDENTITY_SQL)).fetchone() or ())
    except DatabaseError:
        return None
