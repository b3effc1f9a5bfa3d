"""Values that must not be shown: a type that masks itself, and names that tell them."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

MASK = "••••"

MIN_SECRET_LENGTH = 8
"""Letters of a value that is taken for a secret by its variable's name alone."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PWD|APIKEY|KEY|CREDENTIALS?|DSN|PRIVATE|AUTH|WEBHOOK)(?:_|$)"
    r"|^DATABASE_URL$|_DATABASE_URL$|WEBHOOK_URL$",
    re.IGNORECASE,
)
_NOT_SECRET = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK"})
_CREDENTIALS_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


class Secret:
    """A value whose text shows only through ``reveal()``; ``str``, ``repr`` and formatting give a mask.

    It does not pickle, so that it cannot reach a file by accident.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; only for a child's environment or a request's header."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self._value) == (other.name, other._value)

    def __hash__(self) -> int:
        return hash((self.name, self._value))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError(f"{self!r} is not written anywhere: pass its name and look the value up again")


def looks_secret(name: str, value: str = "") -> bool:
    """Tell whether a variable of this name, or with this value, should be treated as a secret."""
    if name in _NOT_SECRET:
        return False
    return bool(_SECRET_NAME.search(name) or _CREDENTIALS_IN_URL.match(value))


def url_credentials(url: str) -> frozenset[str]:
    """Return what must not be shown of a URL: all of it and its password, if it has one."""
    if not _CREDENTIALS_IN_URL.match(url):
        return frozenset()
    password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    return frozenset({url, password, unquote(password)})


def secret_values(variables: Mapping[str, str]) -> frozenset[str]:
    """Return the values of variables that look secret: of platforms, of databases; short ones could be any word."""
    return frozenset(
        value for name, value in variables.items() if len(value) >= MIN_SECRET_LENGTH and looks_secret(name, value)
    )
