"""Ctrl-C while a deployment runs: turn back, or leave the deployment to be resumed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from abreast.cli.progress import ProgressDisplay
from abreast.core.plan import Plan
from abreast.ledger.interface import Ledger

EXIT_UNFINISHED = 4
"""The exit code of a command that left its deployment unfinished."""


class InterruptHandler:
    """Handles SIGINT and SIGTERM within its block.

    In a terminal, Ctrl-C asks what to do. Elsewhere it turns back, and so does SIGTERM, typed by nobody. A second one
    leaves the deployment unfinished; but SIGTERM again is the same request: programs send it more than once, and have
    SIGKILL if they cannot wait.
    """

    def __init__(self, display: ProgressDisplay, ledger: Ledger, active_plan: Callable[[], Plan | None]) -> None:
        self._display = display
        self._ledger = ledger
        self._active_plan = active_plan
        self._interrupt_count = 0
        self._is_terminated = False
        self.turned_back = False
        """Whether an interrupt turned the deployment back."""

    def __enter__(self) -> Self:
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sign, self._on_interrupt, sign)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(sign)
        if self._is_terminated:  # one more is the same request, also while the end is told and sent
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _on_interrupt(self, sign: signal.Signals) -> None:
        if sign is signal.SIGTERM and self._is_terminated:
            return
        self._is_terminated |= sign is signal.SIGTERM
        self._interrupt_count += 1
        plan = self._active_plan()
        if plan is None:
            self._display.print_line("stopped before anything changed")
            _exit_now(1)
        elif self._interrupt_count > 1:
            self._leave_unfinished(plan)
        elif sign is signal.SIGINT and sys.stdin.isatty():
            self._display.pause()
            self._question = asyncio.ensure_future(self._prompt(plan))
        else:
            self._turn_back(plan, f"stopped by {sign.name}")

    async def _prompt(self, plan: Plan) -> None:
        question = "\n[t]urn back, [l]eave it to be resumed, or [g]o on? "
        try:
            answer = (await asyncio.to_thread(input, question)).strip().lower()[:1]
        except EOFError:  # Ctrl-D, or the terminal is gone
            answer = ""
        self._interrupt_count = 0
        if answer == "t":
            self._turn_back(plan, "interrupted at the terminal")
        elif answer == "l":
            self._leave_unfinished(plan)
        self._display.resume()

    def _turn_back(self, plan: Plan, why: str) -> None:
        self.turned_back = True
        self._ledger.request(plan.deployment, "cancel", why)  # first: who reads may be gone
        self._display.print_line("turning back. Interrupt again to leave it unfinished")

    def _leave_unfinished(self, plan: Plan) -> None:
        self._display.print_line(f"left unfinished. next: abreast resume {plan.deployment}")
        _exit_now(EXIT_UNFINISHED)


def _exit_now(code: int) -> None:
    """End like a kill: nothing more is recorded, so that the deployment can be resumed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
