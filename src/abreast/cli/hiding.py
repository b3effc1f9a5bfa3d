"""What is shown is shown without secrets."""

import os
from functools import cache

from abreast.core.redactor import Redactor
from abreast.core.secrets import around


def hide(text: str) -> str:
    """Return a text without what is secret in the variables around, and what looks so."""
    return _redactor().text(text)


@cache
def _redactor() -> Redactor:
    return Redactor(around(os.environ))
