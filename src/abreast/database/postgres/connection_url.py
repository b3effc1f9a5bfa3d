"""PostgreSQL's URLs as applications spell them: with drivers, JDBC's prefix, sockets, parameters of other clients."""

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

_URL = re.compile(
    r"((?:jdbc|r2dbc):(?:[\w-]+:)*)?(postgres|postgresql|postgis|pgsql|psql|ecto|timescale|timescalegis)(\+[\w.-]+)?(://.*)",
    re.DOTALL | re.IGNORECASE,
)
"""Also with the schemes of Django's and Elixir's libraries, and the prefixes of Java's drivers and their wrappers."""
_ADO_NET_KEYS = {
    "host": "host", "server": "host", "port": "port", "database": "dbname", "db": "dbname", "username": "user",
    "user id": "user", "user name": "user", "userid": "user", "uid": "user", "password": "password", "pwd": "password",
}  # fmt: skip
"""Npgsql's names of what libpq needs to connect (https://www.npgsql.org/doc/connection-string-parameters.html)."""
_ADO_NET_PAIR = re.compile(r"""\s*([\w ]+?)\s*=\s*("(?:[^"]|"")*"|'(?:[^']|'')*'|[^;]*?)\s*(?:;|\Z)""", re.DOTALL)


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


def connection_parts(url: str) -> dict[str, str]:
    """Return host, port, user, password and database of a URL, with libpq's defaults; "" for what it does not say."""
    netloc, name, parameters = split_url(url)
    given, (credentials, _, address) = dict(parameters), netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    host, _, port = address.rpartition(":") if re.search(r":\d+$", address) else (address, "", "")
    found = {"host": host.strip("[]"), "port": port, "user": unquote(user), "password": unquote(password)}
    defaults = {"host": "localhost", "port": "5432"}
    return {key: found[key] or given.get(key, defaults.get(key, "")) for key in found} | {"database": name}


def with_database(url: str, name: str) -> str:
    """Return the URL of another database on the same server; driver and parameters stay."""
    netloc, _, query = split_url(url)
    return join_url(url, netloc, name, [pair for pair in query if pair[0] != "dbname"])


def is_java_url(value: str) -> bool:
    """Return whether a URL is one of JDBC or R2DBC, which have credentials as parameters."""
    found = _URL.fullmatch(value)
    return bool(found and found[1])


def is_ado_net(value: str) -> bool:
    """Return whether a text is a connection string of .NET: ``Host=…;Database=…;Username=…``."""
    return {"host", "dbname"} <= _ado_net_pairs(value).keys()


def with_ado_net_database(value: str, name: str) -> str:
    """Return a connection string of .NET to another database on the same server."""
    found = next(pair for pair in _ADO_NET_PAIR.finditer(value) if _ADO_NET_KEYS.get(pair[1].lower()) == "dbname")
    return f"{value[: found.start(2)]}{name}{value[found.end(2) :]}"


def _ado_net_pairs(value: str) -> dict[str, str]:
    """Return the parameters of a connection string of .NET that libpq knows, by libpq's names."""
    if ";" not in value or "://" in value.partition(";")[0]:
        return {}
    found = ((_ADO_NET_KEYS.get(pair[1].lower()), pair[2]) for pair in _ADO_NET_PAIR.finditer(value))
    return {key: _unquoted(text) for key, text in found if key}


def _unquoted(text: str) -> str:
    quote_mark = text[:1]
    return text[1:-1].replace(quote_mark * 2, quote_mark) if quote_mark in {"'", '"'} and text[1:] else text


def libpq_connection(value: str) -> str:
    """Return a connection string as libpq reads it: without a driver and parameters of other clients."""
    if is_ado_net(value):
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 (slow, and only databases need it)

        return make_conninfo("", **_ado_net_pairs(value))
    if not is_postgres_url(value):
        return value
    from psycopg import pq  # noqa: PLC0415 (slow, and only databases need it)

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    netloc, name, query = split_url(value)
    return join_url("postgresql://", netloc, name, [pair for pair in query if pair[0] in known and pair[0] != "dbname"])
