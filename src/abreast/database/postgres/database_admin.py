"""Creates and swaps databases of a PostgreSQL server."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from abreast.core.errors import DatabaseError
from abreast.database.interface import Reporter
from abreast.database.postgres.client import encode_sql, quote_identifier, quote_literal

if TYPE_CHECKING:
    from psycopg import Connection

DROP_TIMEOUT = 10.0
"""Seconds to keep ending sessions until a copy can be dropped."""
SWAP_TIMEOUT = 30.0
"""Seconds to keep ending sessions until a database can be renamed."""
END_INTERVAL = 0.05
"""Seconds between two looks for sessions to end."""
_OBJECT_IN_USE = "55006"
"""SQLSTATE object_in_use (PostgreSQL, Appendix A)."""
_LIST_SETTINGS = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
)  # fmt: skip
"""Settings that hold lists of names, stored already quoted (``GUC_LIST_QUOTE``)."""


def create_like(db: "Connection[Any]", name: str, like: str) -> None:
    """Create an empty database with encoding, locale and settings of ``like``, or the server's if that is missing."""
    template = db.execute(
        "SELECT pg_encoding_to_char(encoding), to_jsonb(d) FROM pg_database d"
        " WHERE datname IN (%s, 'template0') ORDER BY datname = %s DESC LIMIT 1",
        (like, like),
    ).fetchone()
    assert template
    encoding, row = template
    locale = row.get("datlocale") or row.get("daticulocale")
    options = [f"ENCODING {quote_literal(encoding)}"]
    options += [f"LC_COLLATE {quote_literal(row['datcollate'])} LC_CTYPE {quote_literal(row['datctype'])}"]
    if row.get("datlocprovider") == "i":
        options.append(f"LOCALE_PROVIDER icu ICU_LOCALE {quote_literal(locale)}")
    elif row.get("datlocprovider") == "b":
        options.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {quote_literal(locale)}")
    db.execute(encode_sql(f"{_creation_of(name)}TEMPLATE template0 {' '.join(options)}"))
    copy_settings(db, name, like)


def copy_settings(db: "Connection[Any]", name: str, like: str) -> None:
    """Give a copy the owner and settings of ``like``, such as its ``search_path``, as far as this role may."""
    import psycopg  # noqa: PLC0415 (slow, and only databases need it)

    values = {"name": quote_identifier(name), "like": like}
    owner = [text for (text,) in db.execute(encode_sql(_OWNER_SQL), values).fetchall()]
    for statement in (*owner, *(text + value for text, value in _setting_statements(db, name, like))):
        with suppress(psycopg.Error):
            db.execute(encode_sql(statement))


def copy_database_properties(db: "Connection[Any]", name: str, like: str, report: Reporter) -> None:
    """Copy the owner, grants, settings and connection limit of ``like`` to the database ``name``.

    A dump does not have these: they belong to the server. ``report`` receives what this role may not set.
    """
    import psycopg  # noqa: PLC0415 (slow, and only databases need it)

    for text, value in _property_statements(db, name, like):
        try:
            db.execute(encode_sql(text + value))
        except psycopg.Error as error:
            by_hand = text.replace(quote_identifier(name), quote_identifier(like)) + ("…" if value else "")
            report(f"{error.diag.message_primary}; run it as a role with the privilege: {by_hand}")


def _property_statements(db: "Connection[Any]", name: str, like: str) -> Iterator[tuple[str, str]]:
    """Yield (statement, value); a setting's value is separate because it may be a secret."""
    values = {"name": quote_identifier(name), "like": like}
    for text in (_OWNER_SQL, _CONNECTION_LIMIT_SQL, _REVOKE_PUBLIC_SQL, _GRANTS_SQL, _COMMENT_SQL):
        yield from ((statement, "") for (statement,) in db.execute(encode_sql(text), values).fetchall())
    yield from _setting_statements(db, name, like)


def _setting_statements(db: "Connection[Any]", name: str, like: str) -> Iterator[tuple[str, str]]:
    values = {"name": quote_identifier(name), "like": like}
    for role, setting in db.execute(encode_sql(_SETTINGS_SQL), values).fetchall():
        key, _, value = setting.partition("=")
        target = (
            f"ROLE {quote_identifier(role)} IN DATABASE {quote_identifier(name)}"
            if role
            else f"DATABASE {quote_identifier(name)}"
        )
        yield (
            f"ALTER {target} SET {quote_identifier(key)} TO ",
            value if key in _LIST_SETTINGS else quote_literal(value),
        )


_OWNER_SQL = (
    "SELECT format('ALTER DATABASE %%s OWNER TO %%I', %(name)s::text, pg_get_userbyid(datdba))"
    " FROM pg_database WHERE datname = %(like)s AND pg_get_userbyid(datdba) <> current_user"
)
_CONNECTION_LIMIT_SQL = (
    "SELECT format('ALTER DATABASE %%s CONNECTION LIMIT %%s', %(name)s::text, datconnlimit)"
    " FROM pg_database WHERE datname = %(like)s AND datconnlimit <> -1"
)
_REVOKE_PUBLIC_SQL = (
    "SELECT format('REVOKE ALL ON DATABASE %%s FROM PUBLIC', %(name)s::text)"
    " FROM pg_database WHERE datname = %(like)s AND datacl IS NOT NULL"
)
_GRANTS_SQL = (
    "SELECT format('GRANT %%s ON DATABASE %%s TO %%s%%s', privilege_type, %(name)s::text,"
    " CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,"
    " CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
    " FROM pg_database, aclexplode(datacl) WHERE datname = %(like)s AND grantee <> datdba"
)
_COMMENT_SQL = (
    "SELECT format('COMMENT ON DATABASE %%s IS %%L', %(name)s::text, shobj_description(oid, 'pg_database'))"
    " FROM pg_database WHERE datname = %(like)s AND shobj_description(oid, 'pg_database') IS NOT NULL"
)
_SETTINGS_SQL = (
    "SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, unnest(setconfig)"
    " FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = %(like)s"
)


def swap(
    db: "Connection[Any]",
    ender: "Connection[Any]",
    name: str,
    copy: str,
    archive_name: str,
    *,
    original_exists: bool,
) -> None:
    """Rename a copy to the database's name in one transaction, while ``ender`` ends the sessions of both.

    Raises DatabaseError that names the sessions which this role may not end.
    """

    def rename() -> None:
        with db.transaction():
            if original_exists:
                db.execute(
                    encode_sql(f"ALTER DATABASE {quote_identifier(name)} RENAME TO {quote_identifier(archive_name)}")
                )
            db.execute(encode_sql(f"ALTER DATABASE {quote_identifier(copy)} RENAME TO {quote_identifier(name)}"))

    _without_sessions(ender, (name, copy), rename, SWAP_TIMEOUT)


def drop(db: "Connection[Any]", ender: "Connection[Any]", name: str) -> None:
    """Drop a database, if it exists, while ``ender`` ends its sessions.

    Raises DatabaseError that names the sessions which this role may not end.

    Not ``WITH (FORCE)``, which fails where it may not end an autovacuum worker; a plain DROP ends those itself.
    """
    _end_creation(ender, name)
    statement = encode_sql(f"DROP DATABASE IF EXISTS {quote_identifier(name)}")
    _without_sessions(ender, (name,), lambda: db.execute(statement), DROP_TIMEOUT)


def _end_creation(ender: "Connection[Any]", name: str) -> None:
    """End what still creates the database, and wait for its end: the server goes on when its client was killed.

    The statement would not see a database that is not there yet.
    """
    deadline = time.monotonic() + DROP_TIMEOUT
    while time.monotonic() < deadline:
        ended = ender.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND state = 'active'"
            " AND starts_with(query, %s)",
            (_creation_of(name),),
        ).fetchall()
        if not ended:
            return
        time.sleep(END_INTERVAL)


def _creation_of(name: str) -> str:
    return f"CREATE DATABASE {quote_identifier(name)} "


def _without_sessions(
    ender: "Connection[Any]", names: Sequence[str], change: Callable[[], object], timeout: float
) -> None:
    """End the sessions of the databases and make the change, until no session is in the way."""
    deadline = time.monotonic() + timeout
    in_the_way: Sequence[str] = ()
    while True:
        try:
            with _ending_sessions(ender, names) as in_the_way:
                change()
            return
        except Exception as error:
            if getattr(error, "sqlstate", None) != _OBJECT_IN_USE:
                raise
            if time.monotonic() > deadline:
                by = ", ".join(in_the_way) or "another session"
                raise DatabaseError(
                    f"{names[0]} is in use by {by}, which this role may not end",
                    need="no session in it, or a role that may end it: `admin: ${ADMIN_DATABASE_URL}` of the database",
                    next="end that session, then try again",
                ) from error
            time.sleep(0.02)


@contextmanager
def _ending_sessions(ender: "Connection[Any]", names: Sequence[str]) -> Iterator[Sequence[str]]:
    """End the sessions of the databases during the block. Yields those that this role may not end, as they are found.

    A rename lets no session in any more and waits 5 s for those that are there, which on a busy database always
    includes some that came after a first look.
    """
    in_the_way: list[str] = []
    is_over = threading.Event()

    def end() -> None:
        in_the_way[:] = _end_sessions(ender, names)
        while not is_over.wait(END_INTERVAL):
            in_the_way[:] = _end_sessions(ender, names)

    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(end)
        try:
            yield in_the_way
        finally:
            is_over.set()
            ending.result()


def _end_sessions(db: "Connection[Any]", names: Sequence[str]) -> list[str]:
    """End the sessions of the databases, and describe those that this role may not end."""
    import psycopg  # noqa: PLC0415 (slow, and only databases need it)

    sessions = db.execute(
        "SELECT pid, coalesce(usename, backend_type), coalesce(application_name, '') FROM pg_stat_activity"
        " WHERE datname = ANY(%s) AND pid <> pg_backend_pid()",
        (list(names),),
    ).fetchall()
    staying = []
    for pid, user, application in sessions:
        try:
            db.execute("SELECT pg_terminate_backend(%s)", (pid,))
        except psycopg.errors.InsufficientPrivilege:
            staying.append(f"session {pid} of {user}{f' ({application})' if application else ''}")
    return staying
