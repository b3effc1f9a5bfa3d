"""A server of PostgreSQL: connections to it, its own programs, and what it says, without a password."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from abreast.core.errors import DatabaseError
from abreast.database import dump_process

if TYPE_CHECKING:
    from psycopg import Connection

CLIENT_PACKAGE = "postgresql-client"
INSTALL_COMMAND = "pip install 'abreast[postgres]'"


@contextmanager
def connect(url: str, timeout: float) -> "Iterator[Connection[Any]]":
    """Connect for the block; what cannot be done is said in our words."""
    try:
        import psycopg  # noqa: PLC0415 (slow, and only databases need it)
    except ImportError as error:
        raise DatabaseError("psycopg is not installed", need="what PostgreSQL needs", next=INSTALL_COMMAND) from error
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=int(timeout), application_name="abreast") as db:
            yield db
    except psycopg.Error as error:
        message = (error.diag.message_primary or str(error)).strip().splitlines()[0]
        raise DatabaseError(
            f"{_redacted_url(url)}: {message}",
            need="a server that answers, and a role that may" if isinstance(error, psycopg.OperationalError) else "",
            next="abreast doctor",
        ) from error


def _redacted_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"


def database_url(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(name)}"))


def run_client_program(url: str, name: str, *arguments: str, into: IO[bytes] | None = None) -> None:
    """Run one of PostgreSQL's programs; variables tell it the connection, so that no list of processes has it.

    Raises DatabaseError with the first of what it said.
    """
    inherited = {name: value for name, value in os.environ.items() if name.startswith("PG")}  # as psycopg heeds them
    env = {"PATH": os.defpath, "LC_ALL": "C", **inherited, **_libpq_variables(url)}
    code, error_output = dump_process.run_program([_find_program(name), *arguments], into=into, env=env)
    if code:
        reason = "; ".join(error_output.splitlines()[:4]) or f"it ended by signal {-code}"
        raise DatabaseError(f"{name}: {reason}", need=_version_remedy(reason), next=f"{name} --version")


def _version_remedy(reason: str) -> str:
    return f"a client as new as the server: apt-get install {CLIENT_PACKAGE}" if "version mismatch" in reason else ""


def _libpq_variables(url: str) -> dict[str, str]:
    """Return a connection as the variables of libpq (https://www.postgresql.org/docs/current/libpq-envars.html)."""
    from psycopg import pq  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    names = {one.keyword.decode(): one.envvar.decode() for one in pq.Conninfo.get_defaults() if one.envvar}
    parameters = conninfo_to_dict(url)
    return {names[key]: str(value) for key, value in parameters.items() if key in names and value is not None}


def _find_program(name: str) -> str:
    """Return a program of PostgreSQL: the newest where Debian puts them, or that on the path."""
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda one: int(one.parts[4]))
    found = str(candidates[-1]) if candidates else shutil.which(name)
    if not found:
        raise DatabaseError(f"{name} is not installed", need=CLIENT_PACKAGE, next=f"apt-get install {CLIENT_PACKAGE}")
    return found


# ── SQL ────────────────────────────────────────────────────────────────────────────────────────


def encode_sql(text: str) -> bytes:
    """Return SQL as psycopg takes what is not written out in the program."""
    return text.encode()


def quote_identifier(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text as SQL has it, where it takes no values."""
    return "'" + text.replace("'", "''") + "'"


def fetch_value(db: "Connection[Any]", text: str) -> Any:  # noqa: ANN401 (whatever the column holds)
    """Return the first column of the first row, None where there is none."""
    found = db.execute(encode_sql(text)).fetchone()
    return found[0] if found else None
