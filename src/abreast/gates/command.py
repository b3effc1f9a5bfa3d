"""A command that must succeed, the tests that it reports, and how much of the code they reach."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from abreast.core import coverage, junit
from abreast.core.coverage import Coverage
from abreast.core.gates import COVERAGE, TEST, Gate, Judgement, Threshold, Verdict
from abreast.core.watch import decide
from abreast.gates.interface import GatePlugin, Outcome, Scene

NOT_LOOKED_AT = frozenset({".git", "node_modules", ".venv", "venv", "site-packages", "__pycache__"})
LARGEST = 64 << 20
"""Bytes of a report that are read."""


async def judge(gate: Gate, scene: Scene) -> tuple[Judgement, ...]:
    """Run the command, then read what it wrote."""
    assert gate.run is not None
    began = await asyncio.to_thread(_mark, scene.room)
    ended = await scene.command("", gate.run, gate.env, gate.timeout)
    reports = await asyncio.to_thread(lambda: list(_written(scene.room)))
    fresh = [path for path, moment in reports if moment >= began]
    judged = [_of_command(gate, ended, junit.read(_contents(scene.room, fresh, gate.reports or _below(junit.NAMES))))]
    if gate.threshold and gate.threshold.skipped is not None:
        judged.append(Judgement(COVERAGE, Verdict.SKIPPED, gate.threshold.skipped))
    elif gate.threshold:
        judged.append(await _of_coverage(gate, gate.threshold, scene, fresh, [path for path, _ in reports]))
    return tuple(judged)


def _of_command(gate: Gate, ended: Outcome, tests: junit.Tests | None) -> Judgement:
    figures = {"tests": float(tests.count), "failed": float(len(tests.failed))} if tests else {}
    if tests and tests.failed:
        lines = (*junit.table(tests), *(() if ended.why else (f"`{gate.run}` ended as if all were well",)))
        return Judgement(gate.name, Verdict.FAILED, str(tests), lines, figures=figures)
    if ended.why:
        return Judgement(gate.name, Verdict.FAILED, f"`{gate.run}`: {ended.why}", ended.tail, figures=figures)
    return Judgement(gate.name, Verdict.PASSED, str(tests) if tests and gate.name == TEST else "", figures=figures)


async def _of_coverage(
    gate: Gate, threshold: Threshold, scene: Scene, fresh: Sequence[str], all_: Sequence[str]
) -> Judgement:
    """Judge the coverage that the command reported; one that was not written anew says nothing of this commit."""
    patterns = gate.coverage or _below(coverage.NAMES)
    found = [file for file, _ in decide(patterns, fresh)]
    if not found:
        old = [file for file, _ in decide(patterns, all_)]
        what = f"{old[0]} is there, but was not written by `{gate.run}`" if old else f"`{gate.run}` wrote no report"
        return Judgement(COVERAGE, Verdict.FAILED, f"{what}; looked for {', '.join(patterns)}")
    try:
        whole = coverage.merged([coverage.read((scene.room / file).read_bytes()) for file in found])
    except (ValueError, OSError) as error:
        return Judgement(COVERAGE, Verdict.FAILED, f"{', '.join(found)}: {error}")
    if not whole.valid:
        return Judgement(COVERAGE, Verdict.FAILED, f"{', '.join(found)} names no line that tests could reach")
    changed = await _of_changed(whole, scene) if threshold.changed is not None else None
    return _compared(threshold, whole, changed)


async def _of_changed(whole: Coverage, scene: Scene) -> Coverage | None:
    lines = await scene.changed()
    return None if lines is None else whole.of(lines)


def _compared(threshold: Threshold, whole: Coverage, changed: Coverage | None) -> Judgement:
    figures = {"total": whole.percent}
    told = [_told("lines", whole, threshold.total)]
    good = whole.reaches(threshold.total)
    if threshold.changed is not None and changed is not None:
        # A commit that changed no line which tests could reach has nothing to prove.
        good = good and (not changed.valid or changed.reaches(threshold.changed))
        figures |= {"changed": changed.percent} if changed.valid else {}
        told.append(_told("changed lines", changed, threshold.changed))
    verdict = Verdict.PASSED if good else Verdict.FAILED
    if threshold.changed is not None and changed is None and good:
        return Judgement(COVERAGE, Verdict.UNKNOWN, "which lines changed cannot be told", figures=figures)
    return Judgement(COVERAGE, verdict, ", ".join(told), tuple(_least(whole)) if not good else (), figures=figures)


def _told(what: str, of: Coverage, needed: float) -> str:
    if not of.valid:
        return f"no {what} that tests could reach"
    return f"{of.percent:.1f} % of {what} ({of.covered} of {of.valid}; needed: {needed:g} %)"


def _least(whole: Coverage) -> Iterator[str]:
    """Yield the files with the most lines that no test reaches."""
    missed = {name: sum(not hit for hit in lines.values()) for name, lines in whole.files.items()}
    for name, count in sorted(missed.items(), key=lambda one: -one[1])[:5]:
        if count:
            yield f"{name}: {count} of {len(whole.files[name])} lines not reached"


def _below(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"**/{name}" for name in names)


def _mark(room: Path) -> int:
    """Return the time as the room's file system tells it, in nanoseconds; whatever is written from now on is newer."""
    mark = room.with_name(f"{room.name}.mark")
    mark.touch()
    began = mark.stat().st_mtime_ns
    while True:  # a file that was checked out in the same instant must not pass for a new one
        os.utime(mark)
        if mark.stat().st_mtime_ns > began:
            return mark.stat().st_mtime_ns
        time.sleep(0.002)


def _written(room: Path) -> Iterator[tuple[str, int]]:
    """Yield each file that could be a report, and when it was written."""
    for base, folders, files in os.walk(room):
        folders[:] = [name for name in folders if name not in NOT_LOOKED_AT]
        for name in files:
            if name.endswith((".xml", ".json", ".info", ".lcov")):
                path = Path(base) / name
                yield path.relative_to(room).as_posix(), path.lstat().st_mtime_ns


def _contents(room: Path, files: Sequence[str], patterns: Sequence[str]) -> Iterator[bytes]:
    for file, _ in decide(patterns, files):
        if (room / file).stat().st_size <= LARGEST:
            yield (room / file).read_bytes()


PLUGIN = GatePlugin(judge)
