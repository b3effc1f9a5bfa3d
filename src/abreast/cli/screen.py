"""Shows deployments while they run: a live board in a terminal, plain lines in a pipe."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from abreast.cli.views import board, lines
from abreast.core.events import Event
from abreast.core.model import Plan
from abreast.core.states import State
from abreast.ledger.interface import Ledger
from abreast.machine.threads import in_thread

if TYPE_CHECKING:
    from rich.live import Live

PAUSE = 0.1
"""Seconds between two looks at the ledger."""


class Screen:
    """Follows deployments in the ledger and tells what happens on ``out``."""

    def __init__(self, ledger: Ledger, out: TextIO) -> None:
        self._ledger = ledger
        self._out = out
        self._live = out.isatty()
        self._following: asyncio.Task[None] | None = None
        self._drawn: Live | None = None

    def say(self, line: str) -> None:
        """Tell one line."""
        print(line, file=self._out, flush=True)

    def begin(self, plan: Plan) -> None:
        """Show this deployment from now on, until it is over or the next one begins."""
        if self._following:
            self._following.cancel()
        self._following = asyncio.ensure_future(self.follow(plan))

    async def follow(self, plan: Plan) -> None:
        """Show this deployment until it is over."""
        await (self._board(plan) if self._live else self._lines(plan))

    async def finish(self) -> None:
        """Show what is left to show."""
        if self._following:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._following, 5)

    def pause(self) -> None:
        """Leave the terminal alone, for a question."""
        if self._drawn:
            self._drawn.stop()

    def go_on(self) -> None:
        """Take the terminal again."""
        if self._drawn:
            self._drawn.start(refresh=True)

    async def _lines(self, plan: Plan) -> None:
        after = 0
        while True:
            events = await in_thread(self._ledger.events, plan.deployment, after)
            for event in events:
                for line in lines.lines(event):
                    self.say(line)
                after = event.seq
            if _over(events):
                return
            await asyncio.sleep(PAUSE)

    async def _board(self, plan: Plan) -> None:
        from rich.console import Console  # noqa: PLC0415 (slow, and only a terminal needs it)
        from rich.live import Live  # noqa: PLC0415

        expected = await in_thread(self._ledger.expected, plan.environment)
        events: list[Event] = []
        console = Console(file=self._out)
        with Live(console=console, refresh_per_second=10) as live:
            self._drawn = live
            while not _over(events):
                after = events[-1].seq if events else 0
                events += await in_thread(self._ledger.events, plan.deployment, after)
                live.update(board.draw(board.fold(plan, events), expected))
                await asyncio.sleep(PAUSE)
            self._drawn, asking = None, not live.is_started
        if asking:
            console.print(board.draw(board.fold(plan, events), expected))


def _over(events: Sequence[Event]) -> bool:
    states = [event.state for event in events if event.state]
    return bool(states) and (states[-1].final or states[-1] is State.STUCK)


def out_for(*, json: bool) -> TextIO:
    """Return where people's text goes: beside the document when one is asked for."""
    return sys.stderr if json else sys.stdout
