"""Keeps secrets out of everything that is printed."""

import os
from collections.abc import Iterable
from functools import cache

from abreast.cli.terminal_text import visible
from abreast.core.redaction.redactor import Redactor
from abreast.core.secrets import secret_values

_registered: set[str] = set()


def register_secrets(secrets: Iterable[str]) -> frozenset[str]:
    """Redact these values from now on, in addition to the secrets among the environment variables; return new ones."""
    new = frozenset(secrets) - _registered
    _registered.update(new)
    return new


def redact(text: str) -> str:
    """Return the text without known secrets, what looks like one, and what a terminal would obey."""
    return visible(redact_only(text))


def redact_only(text: str) -> str:
    """Return the text without known secrets and what looks like one, for what no terminal shows."""
    return _redactor(frozenset(_registered)).redact_text(text)


def redact_value(given: object) -> object:
    """Return a JSON value with its texts as ``redact_only`` returns them."""
    return _redactor(frozenset(_registered)).redact_value(given)


@cache
def _redactor(secrets: frozenset[str]) -> Redactor:
    return Redactor(secrets | secret_values(os.environ))
