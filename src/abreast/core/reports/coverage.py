"""Coverage: which lines the tests covered."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


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
