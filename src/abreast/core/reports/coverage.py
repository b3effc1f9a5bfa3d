"""Coverage reports: which lines the tests covered."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree as Xml

from abreast.core.reports.report_xml import parse_xml

REPORT_PATTERNS = (
    "coverage.xml",
    "cobertura*.xml",
    "*cobertura.xml",
    "lcov.info",
    "*.lcov",
    "coverage.json",
    "coverage-summary.json",
)
"""Usual names of reports."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Covered lines out of coverable (``valid``) ones. ``files`` maps file and line to whether it was covered.

    A report without lines has only totals.
    """

    covered: int
    valid: int
    files: Mapping[str, Mapping[int, bool]] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """Percentage, rounded down to a tenth, so that 69.96 never shows as 70."""
        return math.floor(1000 * self.covered / self.valid) / 10 if self.valid else 0.0

    def is_at_least(self, percent: float) -> bool:
        """Whether at least ``percent`` of the lines are covered. False without lines."""
        return bool(self.valid) and self.covered * 100 >= percent * self.valid

    def for_lines(self, lines: Mapping[str, Iterable[int]]) -> "Coverage":
        """Return the coverage of these lines. Lines that are not coverable do not count."""
        found = {
            file: {line: self.files[name][line] for line in wanted if line in self.files[name]}
            for file, wanted in lines.items()
            if (name := self._reported_name(file)) is not None
        }
        return coverage_of_lines(found)

    def _reported_name(self, file: str) -> str | None:
        """Return the report's name of a file: the same, relative to a source folder, or absolute."""
        fits = [
            name
            for name in self.files
            if f"/{file}".endswith(f"/{name}") or (name.startswith("/") and name.endswith(f"/{file}"))
        ]
        return max(fits, key=len, default=None)


def coverage_of_lines(files: Mapping[str, Mapping[int, bool]]) -> Coverage:
    """Return the coverage of files, by file and line."""
    reached = [hit for lines in files.values() for hit in lines.values()]
    return Coverage(sum(reached), len(reached), files)


def merge_reports(reports: Iterable[Coverage]) -> Coverage:
    """Merge reports. A line is covered if one report says so. Totals count only if no report has lines."""
    whole = list(reports)
    files: dict[str, dict[int, bool]] = {}
    for report in whole:
        for name, lines in report.files.items():
            known = files.setdefault(name, {})
            for line, hit in lines.items():
                known[line] = known.get(line, False) or hit
    if files:
        return coverage_of_lines(files)
    return Coverage(sum(file.covered for file in whole), sum(file.valid for file in whole))


def parse_report(content: bytes, root: str = "", exists: Callable[[str], bool] = lambda _: False) -> Coverage:
    """Parse a report. Names of files are relative to the folder ``root``, if they are in it.

    ``exists`` tells which of several source folders a file is in. Raises ValueError for an unknown format.

    Cobertura (http://cobertura.sourceforge.net/xml/coverage-04.dtd), lcov (geninfo(1)), coverage.py's JSON
    (https://coverage.readthedocs.io), Istanbul's summary.
    """
    beginning = content.lstrip()[:1]
    try:
        if beginning == b"<":
            found = _cobertura(parse_xml(content), exists)
        elif beginning == b"{":
            found = _json_report(json.loads(content))
        else:
            found = _lcov(content.decode(errors="replace"))
    except (Xml.ParseError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a coverage report: {error}") from error
    if not 0 <= found.covered <= found.valid:
        raise ValueError(f"not a coverage report: it covers {found.covered} of {found.valid} lines")
    prefix = f"{root}/" if root else ""
    return replace(found, files={name.removeprefix(prefix): lines for name, lines in found.files.items()})


def _cobertura(root: Xml.Element, exists: Callable[[str], bool]) -> Coverage:
    if root.tag != "coverage":
        raise ValueError(f"not a coverage report: <{root.tag}>")
    sources = [(source.text or "").strip().rstrip("/") for source in root.iterfind("sources/source")]
    sources = [source for source in sources if source not in {"", "."}]
    files: dict[str, dict[int, bool]] = {}
    for element in root.iter("class"):
        known = files.setdefault(_name_in_sources(element.get("filename", ""), sources, exists), {})
        for line in element.iterfind("lines/line"):
            number, hit = int(line.get("number", "0")), int(line.get("hits", "0")) > 0
            known[number] = known.get(number, False) or hit
    if any(files.values()):
        return coverage_of_lines(files)
    return Coverage(int(root.get("lines-covered", "0")), int(root.get("lines-valid", "0")))


def _name_in_sources(name: str, sources: Sequence[str], exists: Callable[[str], bool]) -> str:
    """Return a file's name with its source folder, so that two files of one name stay apart."""
    if name.startswith("/") or not sources:
        return name
    in_sources = [f"{source}/{name}" for source in sources]
    return next(filter(exists, in_sources), in_sources[0] if len(sources) == 1 else name)


def _json_report(report: dict[str, Any]) -> Coverage:
    if "files" in report and "meta" in report:
        return coverage_of_lines({name: _line_hits(file) for name, file in report["files"].items()})
    total = report["total"]["lines"]
    return Coverage(int(total["covered"]), int(total["total"]))


def _line_hits(file: dict[str, Any]) -> dict[int, bool]:
    hit = dict.fromkeys(file["executed_lines"], True)
    return {**hit, **dict.fromkeys(file["missing_lines"], False)}


def _lcov(text: str) -> Coverage:
    files: dict[str, dict[int, bool]] = {}
    known: dict[int, bool] = {}
    ended = False
    for line in text.splitlines():
        word, _, rest = line.partition(":")
        if word == "SF":
            known = files.setdefault(rest, {})
        elif word == "DA":
            number, hits = rest.split(",")[:2]
            known[int(number)] = known.get(int(number), False) or int(hits) > 0
        ended = ended or word == "end_of_record"
    if not ended:
        raise ValueError("not a coverage report: neither Cobertura, lcov, coverage.py's JSON nor Istanbul's summary")
    return coverage_of_lines(files)
