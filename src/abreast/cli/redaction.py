"""What is shown is shown without secrets."""

import os
from collections.abc import Iterable
from functools import cache

from abreast.core.redaction.redactor import Redactor
from abreast.core.secrets import secret_values

_known_secrets: set[str] = set()


def register_secrets(secrets: Iterable[str]) -> None:
    """Hide these from now on, beside what is secret in the variables around."""
    _known_secrets.update(secrets)


def redact(text: str) -> str:
    """Return a text without what is known to be secret, and what looks so."""
    return _redactor(frozenset(_known_secrets)).redact_text(text)


@cache
def _redactor(secrets: frozenset[str]) -> Redactor:
    return Redactor(secrets | secret_values(os.environ))
