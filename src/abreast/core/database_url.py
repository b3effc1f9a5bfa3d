"""Which URLs name a database of the PostgreSQL server that abreast runs itself."""

import re

_WITHOUT_SERVER = re.compile(r"postgres(?:ql)?(?:\+[\w.-]+)?:///([A-Za-z_][\w-]{0,39})(?:\?(.*))?", re.IGNORECASE)
_SUPPORTED = re.compile(r"sqlite:///|postgres(?:ql)?(?:\+[\w.-]+)?://", re.IGNORECASE)
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+[\w.-]+)?")
_ADDRESS = re.compile(r"(?:^|&)(?:host|hostaddr|service)=")


def managed_database(url: str) -> str:
    """Return the name in a URL that names a database and no server, such as ``postgresql:///shop``, "" for others.

    It is a database of the server that abreast runs for the environment, as ``sqlite:///shop.db`` is a file of its
    own. At most 40 letters, so that copies can have longer ones.
    """
    found = _WITHOUT_SERVER.fullmatch(url)
    return found[1] if found and not _ADDRESS.search(found[2] or "") else ""


def is_scheme(text: str) -> bool:
    """Return whether a text is the scheme of a URL of PostgreSQL, such as ``postgresql+asyncpg``."""
    return _SCHEME.fullmatch(text) is not None


def with_scheme(url: str, scheme: str) -> str:
    """Return a URL with another scheme: the same database by another driver."""
    return f"{scheme}://{url.partition('://')[2]}"


def is_supported(url: str) -> bool:
    """Return whether a URL is of SQLite or PostgreSQL, with or without a driver."""
    return _SUPPORTED.match(url) is not None
