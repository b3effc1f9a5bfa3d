"""Secrets: a type that masks its value, and how secrets are recognized by name or value."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

MASK = "••••"

MIN_SECRET_LENGTH = 8
"""Minimum length of a value that counts as secret by its variable's name."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PWD|APIKEY|KEY|CREDENTIALS?|DSN|PRIVATE|AUTH|WEBHOOK)(?:_|$)"
    r"|^DATABASE_URL$|_DATABASE_URL$|WEBHOOK_URL$",
    re.IGNORECASE,
)
_NOT_SECRET = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "ABREAST_AUDIT_PUBLIC_KEY"})
_CREDENTIALS_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


class Secret:
    """A value that only ``reveal()`` returns. ``str``, ``repr`` and formatting show a mask.

    It cannot be pickled, so it never reaches a file by accident.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """Return the value, for a child process's environment or a request header."""
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
        raise TypeError(f"{self!r} cannot be serialized: pass its name and look up the value again")


def same_value(one: str, other: str) -> bool | None:
    """Return whether two fingerprints are of the same value, None if they were made with two keys.

    One that is made with a key of all machines begins with the id of that key and a colon.
    """
    keys = [fingerprint.rpartition(":")[0] for fingerprint in (one, other)]
    return one == other if keys[0] == keys[1] else None


def looks_secret(name: str, value: str = "") -> bool:
    """Return whether a variable with this name or value is treated as a secret."""
    if name in _NOT_SECRET:
        return False
    return bool(_SECRET_NAME.search(name) or _CREDENTIALS_IN_URL.match(value))


def url_credentials(url: str) -> frozenset[str]:
    """Return the secrets in a URL with a password: the URL and the password. Empty for other URLs."""
    if not _CREDENTIALS_IN_URL.match(url):
        return frozenset()
    password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    return frozenset({url, password, unquote(password)})


def secret_values(variables: Mapping[str, str]) -> frozenset[str]:
    """Return the values of variables that look secret. Short ones are left out: they could be any word."""
    return frozenset(
        value for name, value in variables.items() if len(value) >= MIN_SECRET_LENGTH and looks_secret(name, value)
    )
