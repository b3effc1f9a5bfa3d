"""JUnit XML, as test runners write it, to the tests that failed and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

NAMES = ("junit*.xml", "*junit.xml", "TEST-*.xml", "test-results/**/*.xml", "test-reports/**/*.xml")
"""How reports are usually called."""

SHOWN = 20
"""Failures that are shown; the log has all."""


@dataclass(frozen=True, slots=True)
class Failed:
    """One test that did not pass, and its message."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Tests:
    """What one or more reports say."""

    count: int
    skipped: int
    failed: tuple[Failed, ...]

    def __str__(self) -> str:
        told = [
            f"{self.count} tests",
            f"{len(self.failed)} failed",
            *([f"{self.skipped} skipped"] * bool(self.skipped)),
        ]
        return ", ".join(told)


def read(contents: Iterable[bytes]) -> Tests | None:
    """Return what the reports among ``contents`` say, None where there is none.

    The form is the one of https://github.com/testmoapp/junitxml.
    """
    cases = [case for content in contents for case in _cases(content) or ()]
    if not cases:
        return None
    failed = tuple(found for case in cases if (found := _failed(case)))
    return Tests(len(cases), sum(case.find("skipped") is not None for case in cases), failed)


def _cases(content: bytes) -> list[Xml.Element] | None:
    try:
        root = Xml.fromstring(content)  # noqa: S314 (of the project's own tests; expat bounds entities)
    except Xml.ParseError:
        return None
    return list(root.iter("testcase")) if root.tag in {"testsuites", "testsuite"} else None


def _failed(case: Xml.Element) -> Failed | None:
    bad = next((found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None)
    if bad is None:
        return None
    name = " ".join(filter(None, (case.get("classname"), case.get("name"))))
    lines = (bad.get("message") or bad.text or bad.get("type") or "no message").strip().splitlines()
    return Failed(name, lines[0].strip() if lines else "no message")


def table(tests: Tests) -> Iterator[str]:
    """Yield the failures as lines, one test each, with its message."""
    shown = tests.failed[:SHOWN]
    wide = min(60, max((len(one.name) for one in shown), default=0))
    for one in shown:
        yield f"{one.name:<{wide}}  {one.message[:200]}"
    if len(tests.failed) > SHOWN:
        yield f"and {len(tests.failed) - SHOWN} more"
