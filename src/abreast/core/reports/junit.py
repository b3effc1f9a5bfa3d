"""JUnit XML reports: which tests failed, and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

REPORT_PATTERNS = ("junit*.xml", "*junit.xml", "TEST-*.xml", "test-results/**/*.xml", "test-reports/**/*.xml")
"""Usual names of reports."""

MAX_SHOWN = 20
"""Failures to show. The log has all."""


@dataclass(frozen=True, slots=True)
class FailedTest:
    """A failed test and its message."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class JUnitReport:
    """The result of one or more reports."""

    count: int
    skipped: int
    failed: tuple[FailedTest, ...]

    def __str__(self) -> str:
        parts = [
            f"{self.count} tests",
            f"{len(self.failed)} failed",
            *([f"{self.skipped} skipped"] * bool(self.skipped)),
        ]
        return ", ".join(parts)


def parse_reports(contents: Iterable[bytes]) -> JUnitReport | None:
    """Return the result of the reports among ``contents``, None if there are none.

    Format: https://github.com/testmoapp/junitxml.
    """
    cases = [case for content in contents for case in _test_cases(content) or ()]
    if not cases:
        return None
    failed = tuple(found for case in cases if (found := _failed_test(case)))
    return JUnitReport(len(cases), sum(case.find("skipped") is not None for case in cases), failed)


def _test_cases(content: bytes) -> list[Xml.Element] | None:
    try:
        root = Xml.fromstring(content)  # noqa: S314 (of the project's own tests; expat bounds entities)
    except Xml.ParseError:
        return None
    return list(root.iter("testcase")) if root.tag in {"testsuites", "testsuite"} else None


def _failed_test(case: Xml.Element) -> FailedTest | None:
    bad = next((found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None)
    if bad is None:
        return None
    name = " ".join(filter(None, (case.get("classname"), case.get("name"))))
    lines = (bad.get("message") or bad.text or bad.get("type") or "no message").strip().splitlines()
    return FailedTest(name, lines[0].strip() if lines else "no message")


def failure_lines(report: JUnitReport) -> Iterator[str]:
    """Yield one line for each failure: the test and its message."""
    shown = report.failed[:MAX_SHOWN]
    wide = min(60, max((len(case.name) for case in shown), default=0))
    for case in shown:
        yield f"{case.name:<{wide}}  {case.message[:200]}"
    if len(report.failed) > MAX_SHOWN:
        yield f"and {len(report.failed) - MAX_SHOWN} more"
