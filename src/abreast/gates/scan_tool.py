"""A scanner as a command: its report as findings, or the reason why it could not scan."""

import asyncio
import posixpath
import shlex
import signal
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from abreast.core.gates import Finding, Gate
from abreast.core.reports.scan_results import ReportParser
from abreast.gates.interface import CommandOutcome, GateContext
from abreast.gates.scanner_program import find_program

INSTALL = "pip install 'abreast[security]'"
ToolReport = list[Finding] | str
"""A tool's findings, or the reason why it could not scan."""


@dataclass(frozen=True, slots=True)
class ScanTool:
    """A scanner: arguments that make it write ``$REPORT``, exit codes of a finished scan, and the report's parser.

    It runs if a file matches ``file_globs``. It gets these files as arguments unless it ``scans_whole_tree``.
    """

    program: str
    arguments: str
    success_codes: frozenset[int]
    parse_report: ReportParser
    file_globs: tuple[str, ...] = ()
    install_hint: str = INSTALL
    scans_whole_tree: bool = False


async def run_tool(
    tool: ScanTool, targets: Sequence[str], gate: Gate, context: GateContext, env: Mapping[str, str] | None = None
) -> ToolReport:
    """Run a tool on its targets. One that crashes runs once more."""
    program = find_program(tool.program)
    if program is None:
        return f"{tool.program} is not installed: {tool.install_hint}"
    name = f"{tool.program}-{zlib.crc32(' '.join(targets).encode()):08x}"
    report = context.scratch_dir / f"{name}.json"
    text = f"{shlex.quote(program)} {tool.arguments} {' '.join(map(shlex.quote, targets))}"

    async def run() -> CommandOutcome:
        await asyncio.to_thread(report.unlink, missing_ok=True)
        return await context.run_command(name, text, {**(env or {}), **gate.env, "REPORT": str(report)}, gate.timeout)

    outcome = await run()
    if _has_crashed(outcome):
        outcome = await run()
        if _has_crashed(outcome):
            return f"{tool.program}: {outcome.why}, twice{_last_line(outcome.tail)}"
    return await asyncio.to_thread(_findings, tool, outcome, report)


def _has_crashed(outcome: CommandOutcome) -> bool:
    """Return whether a signal ended the tool, or a program that it ran: shells add 128 to the signal's number."""
    code = outcome.code or 0
    return code < 0 or code - 128 in _CRASHES


_CRASHES = frozenset(
    {signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV}
)


def _findings(tool: ScanTool, outcome: CommandOutcome, report: Path) -> ToolReport:
    if outcome.code not in tool.success_codes:
        return f"{tool.program}: {outcome.why}{_last_line(outcome.tail)}"
    try:
        return [_with_normalized_path(finding) for finding in tool.parse_report(report.read_bytes())]
    except FileNotFoundError:
        return f"{tool.program}: {outcome.why or 'it wrote no report'}{_last_line(outcome.tail)}"
    except (OSError, ValueError) as error:
        return f"{tool.program}: {error}{_last_line(outcome.tail)}"


def _last_line(tail: Sequence[str]) -> str:
    lines = [line.strip() for line in tail if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""


def _with_normalized_path(finding: Finding) -> Finding:
    return replace(finding, file=posixpath.normpath(finding.file) if finding.file else "")
