"""Finds the variables that lead to a database, however they spell it, and leads them to a copy.

Two spellings are the same database if the servers that they reach say so. So aliases, sockets, host names and poolers
need no rules of their own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from abreast.core.errors import DatabaseError
from abreast.database.postgres.client import connect, encode_sql

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for the server of a variable. What does not answer here does not answer a migration either."""

_URL = re.compile(r"(jdbc:)?(?:postgres|postgresql)(\+\w+)?(://.*)", re.DOTALL)
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
        if value == self.real:
            return self.copy
        if value == _database_name(self.real) and _NAME_VARIABLE.search(name):
            return _database_name(self.copy)
        if not (_URL.fullmatch(value) or _KEYWORDS.match(value)):
            return value
        if _identity(value) != self._identity_of(self.real):
            return value
        led = self._with_copy(value)
        if _identity(led) != self._identity_of(self.copy):
            raise DatabaseError(
                f"{name} leads to the real database, and cannot be led to a copy of it",
                need="a server that also knows the copy; a pooler may know only the real database",
                next=f"set {name} to the address of the server itself",
            )
        return led

    def _identity_of(self, url: str) -> Identity:
        if (identity := _identity(url)) is None:
            raise DatabaseError(f"{_database_name(url)} does not answer", next="abreast doctor")
        return identity

    def _with_copy(self, value: str) -> str:
        """Return a value with the copy's address; its driver and its other parameters stay."""
        url = _URL.fullmatch(value)
        if not url:
            from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415

            parameters = {**conninfo_to_dict(value), **conninfo_to_dict(self.copy)}
            return make_conninfo("", **{key: str(text) for key, text in parameters.items() if text is not None})
        prefix, driver, rest = url.group(1) or "", url.group(2) or "", url.group(3)
        scheme = value.removeprefix(prefix).partition(driver or "://")[0]
        own, copy = urlsplit(f"postgresql{rest}"), urlsplit(self.copy)
        name = quote(_database_name(self.copy))
        if prefix or self._identity_of(self.real)[:2] == self._identity_of(self.copy)[:2]:
            netloc, query = own.netloc, [pair for pair in parse_qsl(own.query) if pair[0] != "dbname"]
        else:
            kept = [pair for pair in parse_qsl(own.query) if pair[0] not in _ADDRESS_PARAMETERS]
            netloc, query = copy.netloc, [*kept, *parse_qsl(copy.query)]
        return f"{prefix}{scheme}{driver}{_address(netloc, name, query)}"


def libpq_connection(value: str) -> str:
    """Return a connection string as libpq reads it: without a driver and parameters of other clients."""
    url = _URL.fullmatch(value)
    if not url:
        return value
    from psycopg import pq  # noqa: PLC0415

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    parts = urlsplit(f"postgresql{url.group(3)}")
    query = [pair for pair in parse_qsl(parts.query) if pair[0] in known]
    return f"postgresql{_address(parts.netloc, parts.path.removeprefix('/'), query)}"


def _address(netloc: str, name: str, query: Sequence[tuple[str, str]]) -> str:
    """Return a URL without its scheme; libpq wants all slashes, also where a socket is its server."""
    return f"://{netloc}/{name}{'?' if query else ''}{urlencode(query, quote_via=quote)}"


def _database_name(url: str) -> str:
    return unquote(urlsplit(url).path.removeprefix("/"))


def _identity(value: str) -> Identity | None:
    """Ask the server which database a connection string reaches; None if it reaches none."""
    try:
        with connect(libpq_connection(value), CONNECT_TIMEOUT) as db:
            return tuple(db.execute(encode_sql(_IDENTITY_SQL)).fetchone() or ())
    except DatabaseError:
        return None
