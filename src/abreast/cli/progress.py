"""Progress of a deployment: a live board in a terminal, plain lines in a pipe."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from abreast.cli.ci.selection import ci_output
from abreast.cli.command_output import CommandOutput
from abreast.cli.output_sections import OutputSections, Section
from abreast.cli.terminal_text import visible, without_controls
from abreast.cli.views import event_lines
from abreast.core.events import Event
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment, Ledger
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.threads import run_in_thread
from abreast.wiring.workspace import Workspace

if TYPE_CHECKING:
    from rich.live import Live

    from abreast.cli.ci import report as ci_report
else:
    ci_report = lazy_module("abreast.cli.ci.report")

POLL_INTERVAL = 0.1
"""Seconds between two reads of the ledger."""


class ProgressDisplay:
    """Follows deployments in the ledger and shows them on ``out``.

    ``logs`` is the folder of the deployments' output. With ``verbose``, every line of it is shown.
    """

    def __init__(self, ledger: Ledger, out: TextIO, logs: Path, *, verbose: bool = False) -> None:
        self._ledger = ledger
        self._out = out
        self._logs = logs
        self._verbose = verbose
        self._ci = ci_output(os.environ)
        self._is_terminal = out.isatty()
        self._following: asyncio.Task[None] | None = None
        self._has_ended = asyncio.Event()
        self._live_view: Live | None = None

    def print_line(self, line: str) -> None:
        """Print one line."""
        print_progress(visible(line), self._out)

    def start(self, deployment: str) -> None:
        """Show a deployment from now on, after the one that is shown, which has ended."""
        self._has_ended.set()
        earlier, self._has_ended = self._following, asyncio.Event()
        seen = max((event.seq for event in self._ledger.events(deployment)), default=0)
        self._following = asyncio.ensure_future(self._follow_next(earlier, deployment, seen, self._has_ended))

    async def finish(self) -> None:
        """Show the remaining events. The deployment has ended, or no process runs it any more."""
        if self._following:
            self._has_ended.set()
            await self._following
            self._following = None

    async def follow(self, deployment: str) -> None:
        """Show a deployment, from its beginning, until it ends or is stuck."""
        await self._follow_next(None, deployment, 0, self._has_ended)

    def pause(self) -> None:
        """Stop drawing, so that a question can be asked."""
        if self._live_view:
            self._live_view.stop()

    def resume(self) -> None:
        """Draw again."""
        if self._live_view:
            self._live_view.start(refresh=True)

    async def _follow_next(
        self, earlier: "asyncio.Task[None] | None", deployment: str, seen: int, has_ended: asyncio.Event
    ) -> None:
        if earlier:
            await earlier
        new_events, output = self._new_events(deployment, seen, has_ended), CommandOutput(self._logs / deployment)
        if self._is_terminal:
            await self._draw_board(deployment, seen, new_events, output)
        else:
            await self._print_events(new_events, output)

    async def _new_events(self, deployment: str, seen: int, has_ended: asyncio.Event) -> AsyncIterator[Sequence[Event]]:
        """Yield the events after ``seen`` as they come, until one ends the deployment or ``has_ended`` is set."""
        is_over = False
        while not is_over:
            is_over = has_ended.is_set()  # before the read, so that the last events are read too
            events = await run_in_thread(self._ledger.events, deployment, seen)
            yield events
            seen = events[-1].seq if events else seen
            is_over = is_over or any(event.state and _is_end(event.state) for event in events)
            if not is_over:
                await asyncio.sleep(POLL_INTERVAL)

    async def _print_events(self, new_events: AsyncIterator[Sequence[Event]], output: CommandOutput) -> None:
        """Print events as they come. What commands print comes with ``verbose`` at once, else in sections at their end.

        Only CI systems have sections.
        """
        sections = OutputSections(output)
        async for events in new_events:
            if self._verbose:
                for subject, kind, line in output.new_lines():
                    self.print_line(event_lines.output_line(subject, kind, line))
            elif self._ci.has_sections:
                sections.collect()
            for event in events:
                for section in sections.ended_by(event):
                    self._print_section(section)
                for line in event_lines.event_lines(event):
                    self.print_line(line)
        for section in sections.remaining():
            self._print_section(section)

    def _print_section(self, section: Section) -> None:
        self.print_commands(self._ci.section(section.title, [without_controls(line) for line in section.lines]))

    def report_to_ci(self, workspace: Workspace, deployment: Deployment) -> None:
        """Show in the run of a CI system, if this is one, how a deployment ended."""
        if self._ci.has_sections:
            self.print_commands(ci_report.report_deployment(workspace, self._ledger, deployment))

    def print_commands(self, lines: Iterable[str]) -> None:
        """Print lines that the CI system obeys."""
        for line in lines:
            print_progress(line, self._out)

    async def _draw_board(
        self, deployment: str, seen: int, new_events: AsyncIterator[Sequence[Event]], output: CommandOutput
    ) -> None:
        from rich.console import Console  # noqa: PLC0415 (slow to import, and only a terminal needs it)
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        from abreast.cli.views import board  # noqa: PLC0415

        plan = await run_in_thread(self._ledger.stored_plan, deployment)
        expected = await run_in_thread(self._ledger.expected_durations, plan.environment)
        shown = [event for event in await run_in_thread(self._ledger.events, deployment) if event.seq <= seen]
        console = Console(file=self._out)
        with Live(console=console, refresh_per_second=10) as live:
            self._live_view = live
            async for events in new_events:
                shown += events
                for subject, kind, line in output.new_lines():
                    if self._verbose:
                        console.print(Text(visible(event_lines.output_line(subject, kind, line)), "dim"))
                view = board.build_board(plan, shown)
                live.update(board.render_board(view, expected, output=output.last_lines))
            self._live_view, is_paused = None, not live.is_started
        if is_paused:
            console.print(board.render_board(board.build_board(plan, shown), expected))


def _is_end(state: DeploymentState) -> bool:
    return state.is_final or state is DeploymentState.STUCK


def print_progress(line: str, out: TextIO) -> None:
    """Print a line while a deployment runs. If the reader has gone, the deployment goes on without it."""
    try:
        print(line, file=out, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def output_stream(*, as_json: bool) -> TextIO:
    """Return the stream for text: standard error if standard output carries JSON."""
    return sys.stderr if as_json else sys.stdout
