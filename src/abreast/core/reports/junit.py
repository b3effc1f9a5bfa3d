"""JUnit XML reports: which tests failed, and why."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from abreast.core.reports.report_xml import parse_xml
from abreast.core.wording import counted

REPORT_PATTERNS = ("junit*.xml", "*junit.xml", "TEST-*.xml", "test-results/**/*.xml", "test-reports/**/*.xml")
"""Usual names of reports."""

_HEAD = 4096
"""Bytes in which a report begins, however long its declarations and comments are."""

MAX_SHOWN = 20
"""Failures to show. The log has all."""


@dataclass(frozen=True, slots=True)
class FailedTest:
    """A failed test, its message, and where it failed: a file of the project and a line, "" and 0 if unknown."""

    name: str
    message: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class JUnitReport:
    """The result of one or more reports."""

    count: int
    skipped: int
    failed: tuple[FailedTest, ...]

    def __str__(self) -> str:
        parts = [
            counted(self.count, "test"),
            f"{len(self.failed)} failed",
            *([f"{self.skipped} skipped"] * bool(self.skipped)),
        ]
        return ", ".join(parts)


Locate = Callable[[Xml.Element, str], tuple[str, int]]
"""Returns the file and the line of a test, by its element and the text of its failure."""


def parse_reports(files: Iterable[tuple[str, bytes]], locate: Locate = lambda _, __: ("", 0)) -> JUnitReport | None:
    """Return the result of the reports among ``files``, each a name and its content; None if there are none.

    Raises ValueError for a report that cannot be read. Format: https://github.com/testmoapp/junitxml.
    """
    cases = [case for name, content in files for case in _test_cases(name, content)]
    if not cases:
        return None
    failed = tuple(found for case in cases if (found := _failed_test(case, locate)))
    return JUnitReport(len(cases), sum(case.find("skipped") is not None for case in cases), failed)


def _test_cases(name: str, content: bytes) -> list[Xml.Element]:
    try:
        root = parse_xml(content)
    except Xml.ParseError as error:
        if b"<testsuite" in content[:_HEAD]:
            raise ValueError(f"{name} is not valid XML: {error}") from error
        return []
    if root.tag not in {"testsuites", "testsuite"}:
        return []
    for suite in root.iter("testsuite"):
        if file := suite.get("file"):  # mocha says it of the suite alone
            for case in suite.findall("testcase"):
                case.set("file", case.get("file") or file)
    return list(root.iter("testcase"))


def _failed_test(case: Xml.Element, locate: Locate) -> FailedTest | None:
    bad = next((found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None)
    if bad is None:
        return None
    name = " ".join(filter(None, (case.get("classname"), case.get("name"))))
    lines = (bad.get("message") or bad.text or bad.get("type") or "no message").strip().splitlines()
    where = locate(case, "\n".join(filter(None, (bad.get("message"), bad.text))))
    return FailedTest(name, lines[0].strip() if lines else "no message", *where)


def failure_lines(report: JUnitReport) -> Iterator[str]:
    """Yield one line for each failure: the test and its message."""
    shown = report.failed[:MAX_SHOWN]
    wide = min(60, max((len(case.name) for case in shown), default=0))
    for case in shown:
        yield f"{case.name:<{wide}}  {case.message[:200]}"
    if len(report.failed) > MAX_SHOWN:
        yield f"and {len(report.failed) - MAX_SHOWN} more"
