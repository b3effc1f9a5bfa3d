"""Finds the variables that lead to a database file, however they spell it, and leads them to a copy."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

_VALUE = re.compile(r"((?:(?:jdbc:)?(?:sqlite3?(?:\+\w+)?|file):)?/*)(/[^/?][^?]*)(\?.*)?", re.DOTALL)
"""An absolute path, alone or in a URL: SQLAlchemy's, Prisma's, JDBC's or SQLite's own."""


def redirected_variables(real: Path, copy: Path, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return those of ``variables`` that lead to the file ``real``, leading to ``copy`` instead."""
    return {
        name: f"{prefix}{quote(str(copy)) if prefix and '%' in path else copy}{query or ''}"
        for name, value in variables.items()
        if (match := _VALUE.fullmatch(value))
        for prefix, path, query in [match.groups()]
        if _is_same_file(Path(unquote(path) if prefix else path), real)
    }


def _is_same_file(path: Path, real: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.samefile(real) if real.exists() else path.resolve() == real.resolve()
    return False
