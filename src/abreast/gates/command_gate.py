"""The command gate: a command that must succeed, its test reports, and its coverage."""

import asyncio
import os
import posixpath
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from abreast.core.changes.watch_patterns import match_files
from abreast.core.gates import COVERAGE, TEST, CoverageThreshold, Finding, Gate, GateResult, GateVerdict
from abreast.core.reports import coverage_formats, junit
from abreast.core.reports.coverage import Coverage, merge_reports
from abreast.core.reports.test_locations import find_location
from abreast.gates.interface import CommandOutcome, GateContext, GatePlugin

IGNORED_FOLDERS = frozenset({".git", "node_modules", ".venv", "venv", "site-packages", "__pycache__"})
REPORT_SUFFIXES = (".xml", ".json", ".info", ".lcov", ".out", ".coverprofile")
"""How the usual names of reports end."""
MAX_REPORT_SIZE = 64 << 20
"""Bytes; what a larger report says is unknown."""


async def evaluate(gate: Gate, context: GateContext) -> tuple[GateResult, ...]:
    """Run the gate's command, then evaluate the reports that it wrote."""
    assert gate.run is not None
    started = await asyncio.to_thread(_filesystem_now, context.workdir)
    outcome = await context.run_command("", gate.run, gate.env, gate.timeout)
    named = bool(gate.reports or gate.coverage)
    reports = await asyncio.to_thread(lambda: list(_report_candidates(context.workdir, of_any_name=named)))
    fresh = [path for path, moment in reports if moment >= started]
    patterns = gate.reports or _recursive_globs(gate.folder, junit.REPORT_PATTERNS)
    try:
        locate = _locator(context.workdir, gate.folder)
        reported = _read_reports(context.workdir, fresh, patterns)
        tests = await asyncio.to_thread(lambda: junit.parse_reports(reported, locate))
        results = [_command_result(gate, outcome, tests)]
    except (ValueError, OSError) as error:
        results = [_unreadable_result(gate, outcome, error)]
    if gate.threshold and gate.threshold.skipped is not None:
        results.append(GateResult(COVERAGE, GateVerdict.SKIPPED, gate.threshold.skipped))
    elif gate.threshold:
        results.append(await _coverage_result(gate, gate.threshold, context, fresh, [path for path, _ in reports]))
    return tuple(results)


def _locator(workdir: Path, folder: str) -> junit.Locate:
    """Return what finds the files of the checkout that a report of tests in ``folder`` names."""
    roots = tuple(dict.fromkeys((str(workdir), str(workdir.resolve()))))
    return lambda case, text: find_location(case, text, roots, folder, lambda name: (workdir / name).is_file())


def _command_result(gate: Gate, outcome: CommandOutcome, tests: junit.JUnitReport | None) -> GateResult:
    figures = {"tests": float(tests.count), "failed": float(len(tests.failed))} if tests else {}
    if tests and tests.failed:
        lines = (
            *junit.failure_lines(tests),
            *(() if outcome.why else (f"`{gate.run}` exited with code 0 in spite of it",)),
        )
        return GateResult(gate.name, GateVerdict.FAILED, str(tests), lines, _test_findings(tests), figures)
    if outcome.why:
        return GateResult(gate.name, GateVerdict.FAILED, f"`{gate.run}`: {outcome.why}", outcome.tail, figures=figures)
    return GateResult(gate.name, GateVerdict.PASSED, str(tests) if tests and gate.name == TEST else "", figures=figures)


def _test_findings(tests: junit.JUnitReport) -> tuple[Finding, ...]:
    """Return a finding for each failed test that is shown."""
    shown = tests.failed[: junit.MAX_SHOWN]
    return tuple(Finding(test.name, test.message[:1000], file=test.file, line=test.line) for test in shown)


def _unreadable_result(gate: Gate, outcome: CommandOutcome, error: Exception) -> GateResult:
    """Return the result of a command whose report cannot be read: it may tell of failures."""
    if outcome.why:
        return _command_result(gate, outcome, None)
    return GateResult(gate.name, GateVerdict.UNKNOWN, f"its report cannot be read: {error}")


async def _coverage_result(
    gate: Gate, threshold: CoverageThreshold, context: GateContext, fresh: Sequence[str], reports: Sequence[str]
) -> GateResult:
    """Evaluate the coverage that the command reported; a stale report says nothing about this commit."""
    patterns = gate.coverage or _recursive_globs(gate.folder, coverage_formats.REPORT_PATTERNS)
    found = [file for file, _ in match_files(patterns, fresh)]
    if not found:
        stale = [file for file, _ in match_files(patterns, reports)]
        problem = f"`{gate.run}` did not update {stale[0]}" if stale else f"`{gate.run}` wrote no report"
        return GateResult(COVERAGE, GateVerdict.FAILED, f"{problem}; looked for {', '.join(patterns)}")
    try:
        total = await asyncio.to_thread(_merged_coverage, context.workdir, found)
    except (ValueError, OSError) as error:
        return GateResult(COVERAGE, GateVerdict.FAILED, f"{', '.join(found)}: {error}")
    if not total.valid:
        return GateResult(COVERAGE, GateVerdict.FAILED, f"{', '.join(found)} contains no executable line")
    changed = await _changed_line_coverage(total, context) if threshold.changed is not None else None
    return _threshold_result(threshold, total, changed)


def _merged_coverage(workdir: Path, files: Sequence[str]) -> Coverage:
    def exists(name: str) -> bool:
        return (workdir / name).is_file()

    def parse(file: str) -> Coverage:
        content = _read_report(workdir / file)
        return coverage_formats.parse_report(content, str(workdir), exists, Path(file).parent.as_posix())

    return merge_reports(map(parse, files))


async def _changed_line_coverage(total: Coverage, context: GateContext) -> Coverage | None:
    lines = await context.changed_lines()
    return None if lines is None else total.for_lines(lines)


def _threshold_result(threshold: CoverageThreshold, total: Coverage, changed: Coverage | None) -> GateResult:
    figures = {"total": total.percent}
    summaries = [_coverage_summary("lines", total, threshold.total)]
    sufficient = total.is_at_least(threshold.total)
    if threshold.changed is not None and changed is not None:
        # A commit that changed no executable line has nothing to cover.
        sufficient = sufficient and (not changed.valid or changed.is_at_least(threshold.changed))
        figures |= {"changed": changed.percent} if changed.valid else {}
        summaries.append(_coverage_summary("changed lines", changed, threshold.changed))
    verdict = GateVerdict.PASSED if sufficient else GateVerdict.FAILED
    if threshold.changed is not None and changed is None and sufficient:
        return GateResult(COVERAGE, GateVerdict.UNKNOWN, "cannot determine which lines changed", figures=figures)
    return GateResult(
        COVERAGE,
        verdict,
        ", ".join(summaries),
        tuple(_least_covered_files(total)) if not sufficient else (),
        figures=figures,
    )


def _coverage_summary(label: str, measured: Coverage, needed: float) -> str:
    if not measured.valid:
        return f"no executable {label}"
    return f"{measured.percent:.1f} % of {label} ({measured.covered} of {measured.valid}; needed: {needed:g} %)"


def _least_covered_files(total: Coverage) -> Iterator[str]:
    """Yield a line for each of the five files with the most uncovered lines."""
    missed = {name: sum(not hit for hit in lines.values()) for name, lines in total.files.items()}
    for name, count in sorted(missed.items(), key=lambda item: -item[1])[:5]:
        if count:
            yield f"{name}: {count} of {len(total.files[name])} lines not covered"


def _recursive_globs(folder: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(posixpath.join(folder, "**", name) for name in names)


def _filesystem_now(workdir: Path) -> int:
    """Return the file system's time in ``workdir``, in nanoseconds; files written from now on are not older."""
    marker = workdir.with_name(f"{workdir.name}.mark")
    marker.touch()
    started = marker.stat().st_mtime_ns
    while True:  # a file checked out in the same instant must not count as fresh
        os.utime(marker)
        if marker.stat().st_mtime_ns > started:
            return marker.stat().st_mtime_ns
        time.sleep(0.002)


def _report_candidates(workdir: Path, *, of_any_name: bool) -> Iterator[tuple[str, int]]:
    """Yield each file that may be a report, with its modification time in nanoseconds."""
    for base, folders, files in os.walk(workdir):
        folders[:] = [name for name in folders if name not in IGNORED_FOLDERS]
        for name in files:
            if of_any_name or name.endswith(REPORT_SUFFIXES):
                path = Path(base) / name
                yield path.relative_to(workdir).as_posix(), path.lstat().st_mtime_ns


def _read_reports(workdir: Path, files: Sequence[str], patterns: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for file, _ in match_files(patterns, files):
        yield file, _read_report(workdir / file)


def _read_report(file: Path) -> bytes:
    """Return a report's content. Raises ValueError if it is too large to be parsed at once."""
    if file.stat().st_size > MAX_REPORT_SIZE:
        raise ValueError(f"{file.name} is larger than {MAX_REPORT_SIZE >> 20} MB")
    return file.read_bytes()


PLUGIN = GatePlugin(evaluate)
