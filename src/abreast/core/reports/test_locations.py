"""Where a failed test failed, by what its report says: a file of the project, and a line.

Reports name places in their own ways: attributes (PHPUnit, RSpec, node), paths in the text of the failure (pytest,
Jest, Vitest, Go), or the class alone (JUnit itself).
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from xml.etree import ElementTree as Xml

Exists = Callable[[str], bool]
"""Whether the project has a file, by its path relative to the project."""

_PLACE = re.compile(r"(?<![\w/.@-])((?:[\w@.+-]*/)*[\w@.+-]+\.[A-Za-z]\w{0,5}):(\d{1,7})\b")
_PYTHON_PLACE = re.compile(r'File "([^"\n]+)", line (\d{1,7})')
_FOREIGN = frozenset({"node_modules", "site-packages", "dist-packages", "vendor", ".venv", "venv"})
_JVM_SOURCES = ("src/test/java", "src/test/kotlin")

MAX_TEXT = 20_000
"""Characters of a failure's text that are searched."""


def find_location(case: Xml.Element, text: str, roots: tuple[str, ...], folder: str, exists: Exists) -> tuple[str, int]:
    """Return the file of the project and the line where a test failed; "" or 0 if its report does not say.

    ``roots`` are absolute names of the project's folder, ``folder`` is where the tests ran in it.
    """
    known = {path: found for path in _paths(case, text) if (found := _project_file(path, case, roots, folder, exists))}
    file, line = known.get(case.get("file", ""), ""), case.get("line", "")
    places = [(known[path], number) for path, number in _places(text) if path in known]
    for where, number in places:
        if file in {"", where}:
            return where, number
    if file:
        return file, int(line) if line.isascii() and line.isdecimal() else 0
    return next(iter(known.values()), ""), 0


def _paths(case: Xml.Element, text: str) -> Iterator[str]:
    """Yield every path that a test's report names."""
    yield case.get("file", "")
    for path, _ in _places(text):
        yield path
    yield case.get("classname", "")


def _places(text: str) -> Iterator[tuple[str, int]]:
    searched = text[:MAX_TEXT]
    found = [*_PYTHON_PLACE.finditer(searched), *_PLACE.finditer(searched)]
    for place in sorted(found, key=lambda match: match.start()):
        path = place[1]
        yield f"/{path.lstrip('/')}" if path.startswith("/") else path, int(place[2])  # file:///… too


def _project_file(path: str, case: Xml.Element, roots: tuple[str, ...], folder: str, exists: Exists) -> str:
    """Return the file of the project that a path in a report means, "" if there is none."""
    root = next((root for root in roots if path.startswith(f"{root}/")), "")
    if path.startswith("/") and not root:
        return ""
    named = path.removeprefix(f"{root}/") if root else path
    bases = [""] if root else [folder, "", *(posixpath.join(folder, base) for base in _bases(case, path))]
    for base in bases:
        candidate = posixpath.normpath(posixpath.join(base, named))
        parts = candidate.split("/")
        if named and ".." not in parts and _FOREIGN.isdisjoint(parts) and exists(candidate):
            return candidate
    return ""


def _bases(case: Xml.Element, path: str) -> Iterator[str]:
    """Yield folders that a name without one may be in, by the package of its class."""
    if "/" in path:
        return
    name = case.get("classname", "")
    package = "/".join(name.split(".")[:-1])
    yield from (f"{sources}/{package}" for sources in _JVM_SOURCES)
    parts = name.split("/")
    yield from ("/".join(parts[start:]) for start in range(len(parts)))
