"""The formats of coverage reports, which are told apart by their content.

Cobertura (http://cobertura.sourceforge.net/xml/coverage-04.dtd), Clover (https://openclover.org), JaCoCo
(https://www.jacoco.org/jacoco/trunk/coverage/report.dtd), lcov (geninfo(1)), Go's profiles (https://go.dev/blog/cover),
coverage.py's JSON (https://coverage.readthedocs.io), Istanbul's summary.
"""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree as Xml

from abreast.core.reports.coverage import Coverage, coverage_of_lines
from abreast.core.reports.report_xml import parse_xml

REPORT_PATTERNS = (
    "coverage.xml",
    "cobertura*.xml",
    "*cobertura.xml",
    "clover.xml",
    "jacoco*.xml",
    "lcov.info",
    "*.lcov",
    "coverage.json",
    "coverage-summary.json",
    "coverage.out",
    "cover.out",
    "*.coverprofile",
)
"""Usual names of reports."""

FORMATS = "Cobertura, Clover, JaCoCo, lcov, Go's profile, coverage.py's JSON, Istanbul's summary"

_GO_MODE = re.compile(r"mode: (?:set|count|atomic)")
_GO_BLOCK = re.compile(r"(.+):(\d+)\.(\d+),(\d+)\.(\d+) (\d+) (\d+)")
_JVM_FOLDERS = ("src/main/java", "src/main/kotlin", "src/main/scala", "src/main/groovy", "src", "")

_LineHits = Iterable[tuple[str, int, bool]]
"""File, line, whether it was covered. A line that occurs several times is covered if one of them is."""


@dataclass(frozen=True, slots=True)
class _SourceFolders:
    """Where files may be that a report names relative to a folder: beside the report, or above it up to the root."""

    root: str
    report_folder: str
    exists: Callable[[str], bool]

    def locate(self, names: Iterable[str], otherwise: str) -> str:
        """Return the first of ``names`` that exists, else ``otherwise``, relative to the root if it is in it."""
        found = (path for name in names for path in self._candidates(name) if self.exists(path))
        return next(found, otherwise).removeprefix(f"{self.root}/" if self.root else "")

    def _candidates(self, name: str) -> Iterator[str]:
        if name.startswith("/"):
            return iter((name,))
        folder = PurePosixPath(self.report_folder)
        return (posixpath.normpath(f"{above}/{name}") for above in (folder, *folder.parents))


def parse_report(
    content: bytes, root: str = "", exists: Callable[[str], bool] = lambda _: False, folder: str = ""
) -> Coverage:
    """Parse a report that is in ``folder``. Names of files are relative to the folder ``root``, if they are in it.

    ``exists`` tells whether there is a file of a name. Raises ValueError for an unknown format.
    """
    sources = _SourceFolders(root, folder, exists)
    try:
        found = _parse(content, sources)
    except (Xml.ParseError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a coverage report: {error}") from error
    if not 0 <= found.covered <= found.valid:
        raise ValueError(f"not a coverage report: it covers {found.covered} of {found.valid} lines")
    return found


def _parse(content: bytes, sources: _SourceFolders) -> Coverage:
    beginning = content.lstrip()[:1]
    if beginning == b"<":
        return _xml_report(parse_xml(content), sources)
    if beginning == b"{":
        return _json_report(json.loads(content), sources)
    text = content.decode(errors="replace")
    return _coverage(_go_lines(text, sources) if _GO_MODE.match(text) else _lcov_lines(text, sources))


def _coverage(lines: _LineHits, totals: Callable[[], Coverage] = lambda: Coverage(0, 0)) -> Coverage:
    """Return the coverage of lines. A report without lines has ``totals`` at most."""
    files: dict[str, dict[int, bool]] = {}
    for file, line, hit in lines:
        known = files.setdefault(file, {})
        known[line] = known.get(line, False) or hit
    return coverage_of_lines(files) if files else totals()


# ── XML ────────────────────────────────────────────────────────────────────────────────────────


def _xml_report(root: Xml.Element, sources: _SourceFolders) -> Coverage:
    if root.tag == "report":
        return _coverage(_jacoco_lines(root, sources), partial(_jacoco_totals, root))
    if root.tag != "coverage":
        raise ValueError(f"not a coverage report: <{root.tag}>")
    if (project := root.find("project")) is not None:
        return _coverage(_clover_lines(project, sources), partial(_clover_totals, project))
    return _coverage(_cobertura_lines(root, sources), partial(_cobertura_totals, root))


def _cobertura_lines(root: Xml.Element, sources: _SourceFolders) -> _LineHits:
    listed = [(source.text or "").strip().rstrip("/") for source in root.iterfind("sources/source")]
    listed = [source for source in listed if source not in {"", "."}]
    for element in root.iter("class"):
        name = _name_in_sources(element.get("filename", ""), listed, sources)
        for line in element.iterfind("lines/line"):
            yield name, int(line.get("number", "0")), int(line.get("hits", "0")) > 0


def _name_in_sources(name: str, listed: Sequence[str], sources: _SourceFolders) -> str:
    """Return a file's name with its source folder, so that two files of one name stay apart."""
    if name.startswith("/") or not listed:
        return sources.locate([name], name)
    named = [f"{source}/{name}" for source in listed]
    return sources.locate(named, named[0] if len(named) == 1 else name)


def _cobertura_totals(root: Xml.Element) -> Coverage:
    return Coverage(int(root.get("lines-covered", "0")), int(root.get("lines-valid", "0")))


def _clover_lines(project: Xml.Element, sources: _SourceFolders) -> _LineHits:
    """Yield the lines with statements and conditions. Those of methods say only that a method was called."""
    for file in project.iter("file"):
        name = file.get("path", file.get("name", ""))
        located = sources.locate([name], name)
        for line in file.iterfind("line"):
            if line.get("type") != "method":
                yield located, int(line.get("num", "0")), _is_clover_hit(line)


def _is_clover_hit(line: Xml.Element) -> bool:
    """Return whether a line was run. A condition may have counts of its outcomes only."""
    counts = ("count",) if "count" in line.keys() else ("truecount", "falsecount")  # noqa: SIM118 (no mapping)
    return any(int(line.get(count, "0")) > 0 for count in counts)


def _clover_totals(project: Xml.Element) -> Coverage:
    metrics = project.find("metrics")
    if metrics is None:
        raise ValueError("not a coverage report: <project> without <metrics>")
    return Coverage(int(metrics.get("coveredstatements", "0")), int(metrics.get("statements", "0")))


def _jacoco_lines(root: Xml.Element, sources: _SourceFolders, module: str = "") -> _LineHits:
    """Yield the lines of a report, or of a module in it. A line is covered if one of its instructions is."""
    for group in root.iterfind("group"):
        yield from _jacoco_lines(group, sources, posixpath.join(module, group.get("name", "")))
    for package in root.iterfind("package"):
        for file in package.iterfind("sourcefile"):
            name = posixpath.join(package.get("name", ""), file.get("name", ""))
            folders = [posixpath.join(above, below) for above in (module, "") for below in _JVM_FOLDERS]
            located = sources.locate((posixpath.join(folder, name) for folder in folders), name)
            for line in file.iterfind("line"):
                yield located, int(line.get("nr", "0")), int(line.get("ci", "0")) > 0


def _jacoco_totals(root: Xml.Element) -> Coverage:
    counter = root.find("counter[@type='LINE']")
    if counter is None:
        raise ValueError("not a coverage report: <report> without lines")
    covered = int(counter.get("covered", "0"))
    return Coverage(covered, covered + int(counter.get("missed", "0")))


# ── JSON ───────────────────────────────────────────────────────────────────────────────────────


def _json_report(report: dict[str, Any], sources: _SourceFolders) -> Coverage:
    if "files" in report and "meta" in report:
        return _coverage(_coverage_py_lines(report["files"], sources))
    total = report["total"]["lines"]
    return Coverage(int(total["covered"]), int(total["total"]))


def _coverage_py_lines(files: Mapping[str, Any], sources: _SourceFolders) -> _LineHits:
    for name, file in files.items():
        located = sources.locate([name], name)
        for kind, hit in (("executed_lines", True), ("missing_lines", False)):
            yield from ((located, line, hit) for line in file[kind])


# ── text ───────────────────────────────────────────────────────────────────────────────────────


def _lcov_lines(text: str, sources: _SourceFolders) -> _LineHits:
    name, ended = "", False
    for line in text.splitlines():
        word, _, rest = line.partition(":")
        if word == "SF":
            name = sources.locate([rest], rest)
        elif word == "DA":
            number, hits = rest.split(",")[:2]
            yield name, int(number), int(hits) > 0
        ended = ended or word == "end_of_record"
    if not ended:
        raise ValueError(f"not a coverage report: none of {FORMATS}")


def _go_lines(text: str, sources: _SourceFolders) -> _LineHits:
    """Yield the lines of blocks of statements. Names begin with the path of the module, which is no folder."""
    located: dict[str, str] = {}
    for line in text.splitlines():
        block = _GO_BLOCK.fullmatch(line)
        if not block and line and not _GO_MODE.fullmatch(line):
            raise ValueError(f"not a coverage report: {line[:100]!r} in a Go profile")
        if block:
            name, hit = block[1], block[7] != "0"
            if name not in located:
                parts = name.split("/")
                located[name] = sources.locate(("/".join(parts[start:]) for start in range(len(parts))), name)
            yield from ((located[name], number, hit) for number in _statement_lines(*map(int, block.groups()[1:6])))


def _statement_lines(start: int, start_column: int, end: int, end_column: int, statements: int) -> range:
    """Return as many lines of a block as it has statements, the last ones: totals are those of ``go tool cover``.

    A block ends with a brace if its end is not to the right of its start; if it starts with one too, the first line has
    no statement.
    """
    lines = end - start + 1
    brace = end_column == start_column or (end_column < start_column and lines - 2 >= statements)
    last = end - 1 if brace and lines > 1 else end
    return range(max(start, last - statements + 1), last + 1)
