"""What is shown is shown without secrets."""

import os
from collections.abc import Iterable
from functools import cache

from abreast.core.redactor import Redactor
from abreast.core.secrets import around

_known: set[str] = set()


def know(secrets: Iterable[str]) -> None:
    """Hide these from now on, beside what is secret in the variables around."""
    _known.update(secrets)


def hide(text: str) -> str:
    """Return a text without what is known to be secret, and what looks so."""
    return _redactor(frozenset(_known)).text(text)


@cache
def _redactor(known: frozenset[str]) -> Redactor:
    return Redactor(known | around(os.environ))
