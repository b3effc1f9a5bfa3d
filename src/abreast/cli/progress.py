"""Progress of a deployment: a live board in a terminal, plain lines in a pipe."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from abreast.cli.views import board, event_lines
from abreast.core.events import Event
from abreast.core.model import Plan
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Ledger
from abreast.machine.threads import run_in_thread

if TYPE_CHECKING:
    from rich.live import Live

POLL_INTERVAL = 0.1
"""Seconds between two reads of the ledger."""


class ProgressDisplay:
    """Follows deployments in the ledger and shows them on ``out``."""

    def __init__(self, ledger: Ledger, out: TextIO) -> None:
        self._ledger = ledger
        self._out = out
        self._is_terminal = out.isatty()
        self._follow_task: asyncio.Task[None] | None = None
        self._live_view: Live | None = None

    def print_line(self, line: str) -> None:
        """Print one line."""
        print(line, file=self._out, flush=True)

    def start(self, plan: Plan) -> None:
        """Show this deployment until it ends or the next one starts."""
        if self._follow_task:
            self._follow_task.cancel()
        self._follow_task = asyncio.ensure_future(self.follow(plan))

    async def follow(self, plan: Plan) -> None:
        """Show this deployment until it ends."""
        await (self._draw_board(plan) if self._is_terminal else self._print_events(plan))

    async def finish(self) -> None:
        """Show the remaining events."""
        if self._follow_task:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._follow_task, 5)

    def pause(self) -> None:
        """Stop drawing, so that a question can be asked."""
        if self._live_view:
            self._live_view.stop()

    def resume(self) -> None:
        """Draw again."""
        if self._live_view:
            self._live_view.start(refresh=True)

    async def _print_events(self, plan: Plan) -> None:
        after = 0
        while True:
            events = await run_in_thread(self._ledger.events, plan.deployment, after)
            for event in events:
                for line in event_lines.event_lines(event):
                    self.print_line(line)
                after = event.seq
            if _is_over(events):
                return
            await asyncio.sleep(POLL_INTERVAL)

    async def _draw_board(self, plan: Plan) -> None:
        from rich.console import Console  # noqa: PLC0415 (slow to import, and only a terminal needs it)
        from rich.live import Live  # noqa: PLC0415

        expected = await run_in_thread(self._ledger.expected_durations, plan.environment)
        events: list[Event] = []
        console = Console(file=self._out)
        with Live(console=console, refresh_per_second=10) as live:
            self._live_view = live
            while not _is_over(events):
                after = events[-1].seq if events else 0
                events += await run_in_thread(self._ledger.events, plan.deployment, after)
                live.update(board.render_board(board.build_board(plan, events), expected))
                await asyncio.sleep(POLL_INTERVAL)
            self._live_view, is_paused = None, not live.is_started
        if is_paused:
            console.print(board.render_board(board.build_board(plan, events), expected))


def _is_over(events: Sequence[Event]) -> bool:
    states = [event.state for event in events if event.state]
    return bool(states) and (states[-1].is_final or states[-1] is DeploymentState.STUCK)


def output_stream(*, as_json: bool) -> TextIO:
    """Return the stream for text: standard error if standard output carries JSON."""
    return sys.stderr if as_json else sys.stdout
