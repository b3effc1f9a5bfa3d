"""Ctrl-C while a deployment runs: turn back, or leave it to be resumed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from abreast.cli.screen import Screen
from abreast.core.model import Plan
from abreast.ledger.interface import Ledger

LEFT = 4
"""The exit code of a command that left a deployment where it stood."""


class Interrupts:
    """While it is entered, an interrupt asks; where nobody can answer, it turns back, and a second one leaves."""

    def __init__(self, screen: Screen, ledger: Ledger, shown: Callable[[], Plan | None]) -> None:
        self._screen = screen
        self._ledger = ledger
        self._shown = shown
        self._asked = 0
        self.turned_back = False
        """Whether somebody wanted that."""

    def __enter__(self) -> Self:
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sign, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(sign)

    def _interrupted(self) -> None:
        self._asked += 1
        plan = self._shown()
        if plan is None:
            self._screen.say("stopped; nothing was touched")
            _end(1)
        elif self._asked > 1:
            self._leave(plan)
        elif sys.stdin.isatty():
            self._screen.pause()
            self._question = asyncio.ensure_future(self._ask(plan))
        else:
            self._turn_back(plan)

    async def _ask(self, plan: Plan) -> None:
        question = "\n[t]urn back, [l]eave it to be resumed, or [g]o on? "
        answer = (await asyncio.to_thread(input, question)).strip().lower()[:1]
        self._asked = 0
        if answer == "t":
            self._turn_back(plan)
        elif answer == "l":
            self._leave(plan)
        self._screen.go_on()

    def _turn_back(self, plan: Plan) -> None:
        self.turned_back = True
        self._screen.say("turning back; once more to leave it as it stands")
        self._ledger.ask(plan.deployment, "cancel", "interrupted at the terminal")

    def _leave(self, plan: Plan) -> None:
        self._screen.say(f"left as it stands. next: abreast resume {plan.deployment}")
        _end(LEFT)


def _end(code: int) -> None:
    """End as a kill would: nothing more is recorded, so that all of it can be resumed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
