"""PostgreSQL's URLs as applications spell them: with drivers, JDBC's prefix, sockets, parameters of other clients."""

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

_URL = re.compile(r"(jdbc:)?(postgres|postgresql)(\+\w+)?(://.*)", re.DOTALL)


def is_postgres_url(value: str) -> bool:
    """Return whether a text is the URL of a PostgreSQL database, in any spelling."""
    return _URL.fullmatch(value) is not None


def split_url(url: str) -> tuple[str, str, Sequence[tuple[str, str]]]:
    """Return the address (``user@host:port``), the database's name, and the parameters of a URL."""
    found = _URL.fullmatch(url)
    parts = urlsplit(f"postgresql{found[4]}" if found else url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    name = unquote(parts.path.removeprefix("/")) or dict(query).get("dbname", "")
    return parts.netloc, name, query


def join_url(like: str, netloc: str, name: str, query: Sequence[tuple[str, str]]) -> str:
    """Return a URL with the scheme and driver of another one. libpq wants all slashes, also for a socket."""
    found = _URL.fullmatch(like)
    scheme = f"{found[1] or ''}{found[2]}{found[3] or ''}" if found else "postgresql"
    return f"{scheme}://{netloc}/{quote(name, safe='')}{'?' if query else ''}{urlencode(query, quote_via=quote)}"


def database_name(url: str) -> str:
    """Return the name of the database that a URL leads to."""
    return split_url(url)[1]


def with_database(url: str, name: str) -> str:
    """Return the URL of another database on the same server; driver and parameters stay."""
    netloc, _, query = split_url(url)
    return join_url(url, netloc, name, [pair for pair in query if pair[0] != "dbname"])


def libpq_connection(value: str) -> str:
    """Return a connection string as libpq reads it: without a driver and parameters of other clients."""
    if not is_postgres_url(value):
        return value
    from psycopg import pq  # noqa: PLC0415 (slow, and only databases need it)

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    netloc, name, query = split_url(value)
    return join_url("postgresql://", netloc, name, [pair for pair in query if pair[0] in known and pair[0] != "dbname"])
