"""The answer of a program that uses apsw: one line of JSON on standard error, a result or an error.

apsw is a second copy of SQLite and needs its own process: two copies of SQLite that open one file in one process break
each other's locks (https://sqlite.org/howtocorrupt.html, 2.2.1).
"""

import json
import sys
from collections.abc import Callable, Mapping

import apsw


class ProgramError(Exception):
    """An error of the program's own; ``code`` is a name from https://sqlite.org/rescode.html, if one fits."""

    code = ""


class LockedError(ProgramError):
    """The database stays locked."""

    code = "SQLITE_BUSY"


def answer(work: Callable[[], Mapping[str, object]]) -> int:
    """Do the work, print its result or its error, and return the exit code."""
    try:
        found = work()
    except apsw.Error as error:
        found = {"error": str(error), "code": _error_name(error)}
    except ProgramError as error:
        found = {"error": str(error), "code": error.code}
    except OSError as error:
        found = {"error": error.strerror or "", "code": "SQLITE_IOERR"}
    print(json.dumps(found), file=sys.stderr)  # noqa: T201 (the program's answer)
    return int("error" in found)


def _error_name(error: apsw.Error) -> str:
    """Return the error's name (https://sqlite.org/rescode.html), "" if it is not SQLite's."""
    return str(apsw.mapping_result_codes.get(getattr(error, "extendedresult", 0) & 255, ""))
