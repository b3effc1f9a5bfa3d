"""Connections to a PostgreSQL server and its client programs; passwords stay out of errors and process lists."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from abreast.core.errors import DatabaseError
from abreast.database import dump_process
from abreast.database.postgres.connection_url import libpq_connection, split_url
from abreast.database.postgres.programs import find_newest_folder

if TYPE_CHECKING:
    from types import ModuleType

    import psycopg
    from psycopg import Connection

CLIENT_PACKAGE = "postgresql-client"
DUMP_OPTIONS = ("--no-password", "--format=custom", "--compress=0")
"""Of pg_dump. A backup is compressed when it is encrypted."""
INSTALL_COMMAND = "pip install 'abreast[postgres]'"


@contextmanager
def connect(url: str, timeout: float) -> "Iterator[Connection[Any]]":
    """Connect for the block; errors of psycopg become DatabaseError."""
    psycopg = _driver()
    try:
        with open_connection(url, timeout) as db:
            yield db
    except psycopg.Error as error:
        raise _database_error(url, error) from error


def open_connection(url: str, timeout: float) -> "Connection[Any]":
    """Connect in autocommit mode; the caller closes the connection. Raises DatabaseError."""
    psycopg = _driver()
    try:
        connection: Connection[Any] = psycopg.connect(
            libpq_connection(url), autocommit=True, connect_timeout=int(timeout), application_name="abreast"
        )
        return connection
    except psycopg.Error as error:
        raise _database_error(url, error) from error


def check_driver() -> None:
    """Raise DatabaseError unless psycopg is installed."""
    if importlib.util.find_spec("psycopg") is None:
        raise DatabaseError("psycopg is not installed", need="psycopg for PostgreSQL", next=INSTALL_COMMAND)


def _driver() -> "ModuleType":
    """Import psycopg, which is slow, and which only databases need."""
    check_driver()
    import psycopg  # noqa: PLC0415

    return psycopg


def _database_error(url: str, error: "psycopg.Error") -> DatabaseError:
    message = (error.diag.message_primary or str(error)).strip().splitlines()[0]
    return DatabaseError(
        f"{_redacted_url(url)}: {message}",
        need="a reachable server, and a role with access" if isinstance(error, _driver().OperationalError) else "",
        next="abreast doctor",
    )


def _redacted_url(url: str) -> str:
    netloc, name, _ = split_url(url)
    return f"{netloc.rpartition('@')[2] or 'localhost'}/{name}"


def run_client_program(
    url: str, name: str, *arguments: str, into: IO[bytes] | None = None, folder: Path | None = None
) -> None:
    """Run a PostgreSQL client program, by default the newest one, or the one in ``folder``.

    It gets the connection by environment, so that ``ps`` cannot show it. Raises DatabaseError with the first lines of
    its error output.
    """
    program = str(folder / name) if folder else _find_program(name)
    code, error_output = dump_process.run_program([program, *arguments], into=into, env=client_environment(url))
    if code:
        reason = "; ".join(error_output.splitlines()[:4]) or f"killed by signal {-code}"
        raise DatabaseError(f"{name}: {reason}", need=_remedy(reason), next=f"{name} --version")


def client_environment(url: str) -> dict[str, str]:
    """Return the variables that connect a client program, and make its messages English."""
    inherited = {name: value for name, value in os.environ.items() if name.startswith("PG")}  # psycopg uses them too
    return {"PATH": os.defpath, "LC_ALL": "C", **inherited, **_libpq_variables(url)}


_NOT_PERMITTED = (
    "permission denied",
    "must be owner",
    "must be superuser",
    "must be able to SET ROLE",
    "row-level security",
)


def _remedy(reason: str) -> str:
    if "version mismatch" in reason:
        return f"a client as new as the server: apt-get install {CLIENT_PACKAGE}"
    if any(words in reason for words in _NOT_PERMITTED):
        return "a role that may do that: `admin: ${ADMIN_DATABASE_URL}` of the database, for backups and copies"
    return ""


def _libpq_variables(url: str) -> dict[str, str]:
    """Return a connection as libpq's environment variables (https://www.postgresql.org/docs/current/libpq-envars.html)."""
    from psycopg import pq  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    names = {option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    parameters = conninfo_to_dict(libpq_connection(url))
    return {names[key]: str(value) for key, value in parameters.items() if key in names and value is not None}


def _find_program(name: str) -> str:
    """Return the path of a PostgreSQL program, of the newest version that is installed."""
    folder = find_newest_folder(name)
    if folder is None:
        raise DatabaseError(f"{name} is not installed", need=CLIENT_PACKAGE, next=f"apt-get install {CLIENT_PACKAGE}")
    return str(folder / name)


# ── SQL ────────────────────────────────────────────────────────────────────────────────────────


def encode_sql(text: str) -> bytes:
    """Return SQL as bytes: psycopg's types allow only literals as ``str``."""
    return text.encode()


def quote_identifier(name: str) -> str:
    """Return a name quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text quoted as an SQL literal, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def fetch_value(db: "Connection[Any]", text: str) -> Any:  # noqa: ANN401 (whatever the column holds)
    """Return the first column of the first row, None without rows."""
    row = db.execute(encode_sql(text)).fetchone()
    return row[0] if row else None
