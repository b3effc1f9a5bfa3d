"""Whole databases of a server: made, made alike, and swapped by their names."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from abreast.database.interface import Tell
from abreast.database.postgres.server import literal, quoted, sql

if TYPE_CHECKING:
    from psycopg import Connection

SWAP = 30.0
"""Seconds for which sessions are ended until a database can take another's name."""
_IN_USE = "55006"
"""Object in use (PostgreSQL, Appendix A)."""
_LISTS = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
)  # fmt: skip
"""Settings whose values are lists of names, which are noted as SQL has them (``GUC_LIST_QUOTE``)."""


def make(db: "Connection[Any]", name: str, like: str) -> None:
    """Make an empty database with the encoding and the locale of another, or the server's where that is not there."""
    found = db.execute(
        "SELECT pg_encoding_to_char(encoding), to_jsonb(d) FROM pg_database d"
        " WHERE datname IN (%s, 'template0') ORDER BY datname = %s DESC LIMIT 1",
        (like, like),
    ).fetchone()
    assert found
    encoding, row = found
    locale = row.get("datlocale") or row.get("daticulocale")
    words = [f"ENCODING {literal(encoding)}"]
    words += [f"LC_COLLATE {literal(row['datcollate'])} LC_CTYPE {literal(row['datctype'])}"]
    if row.get("datlocprovider") == "i":
        words.append(f"LOCALE_PROVIDER icu ICU_LOCALE {literal(locale)}")
    elif row.get("datlocprovider") == "b":
        words.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale)}")
    db.execute(sql(f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {' '.join(words)}"))


def dress(db: "Connection[Any]", name: str, like: str, tell: Tell) -> None:
    """Give a database the owner, the rights, the settings and the limit of connections of another.

    No dump of a database has these: they belong to the server. ``tell`` hears what this role may not give it.
    """
    import psycopg  # noqa: PLC0415 (slow, and only databases need it)

    for text, value in _clothes(db, name, like):
        try:
            db.execute(sql(text + value))
        except psycopg.Error as error:
            by_hand = text.replace(quoted(name), quoted(like)) + ("…" if value else "")
            tell(f"{error.diag.message_primary}; do it as a role that may: {by_hand}")


def _clothes(db: "Connection[Any]", name: str, like: str) -> Iterator[tuple[str, str]]:
    """Return what is to be said to the server, and apart from it a setting's value, which may be a secret."""
    values = {"name": quoted(name), "like": like}
    for text in (_OWNER, _LIMIT, _CLOSED, _RIGHTS):
        yield from ((said, "") for (said,) in db.execute(sql(text), values).fetchall())
    for role, setting in db.execute(sql(_SETTINGS), values).fetchall():
        key, _, value = setting.partition("=")
        whose = f"ROLE {quoted(role)} IN DATABASE {quoted(name)}" if role else f"DATABASE {quoted(name)}"
        yield f"ALTER {whose} SET {quoted(key)} TO ", value if key in _LISTS else literal(value)


_OWNER = (
    "SELECT format('ALTER DATABASE %%s OWNER TO %%I', %(name)s::text, pg_get_userbyid(datdba))"
    " FROM pg_database WHERE datname = %(like)s AND pg_get_userbyid(datdba) <> current_user"
)
_LIMIT = (
    "SELECT format('ALTER DATABASE %%s CONNECTION LIMIT %%s', %(name)s::text, datconnlimit)"
    " FROM pg_database WHERE datname = %(like)s AND datconnlimit <> -1"
)
_CLOSED = (
    "SELECT format('REVOKE ALL ON DATABASE %%s FROM PUBLIC', %(name)s::text)"
    " FROM pg_database WHERE datname = %(like)s AND datacl IS NOT NULL"
)
_RIGHTS = (
    "SELECT format('GRANT %%s ON DATABASE %%s TO %%s%%s', privilege_type, %(name)s::text,"
    " CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,"
    " CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
    " FROM pg_database, aclexplode(datacl) WHERE datname = %(like)s AND grantee <> datdba"
)
_SETTINGS = (
    "SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, unnest(setconfig)"
    " FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = %(like)s"
)


def swap(db: "Connection[Any]", name: str, copy: str, aside: str, *, there: bool) -> None:
    """Let a copy take a database's name, in one transaction, when the sessions of both were ended."""
    until = time.monotonic() + SWAP
    while True:
        try:
            _swapped(db, name, copy, aside, there=there)
            return
        except Exception as error:
            if getattr(error, "sqlstate", None) != _IN_USE or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _swapped(db: "Connection[Any]", name: str, copy: str, aside: str, *, there: bool) -> None:
    for one in (name, copy):
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (one,),
        )
    with db.transaction():
        if there:
            db.execute(sql(f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(aside)}"))
        db.execute(sql(f"ALTER DATABASE {quoted(copy)} RENAME TO {quoted(name)}"))
