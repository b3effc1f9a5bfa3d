"""The port of the command runner."""

from collections.abc import Awaitable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Protocol

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command for ``/bin/sh`` in ``cwd``; ``env`` is its whole environment, ``secrets`` are variables in it."""

    text: str
    cwd: Path
    log: Path
    timeout: float
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended: ``why`` is "" if it succeeded, ``exit_code`` is None if it was stopped.

    ``tail`` are the last lines of its output; ``errors`` are the first that look like errors.
    """

    why: str
    tail: tuple[str, ...]
    exit_code: int | None = None
    errors: tuple[str, ...] = ()

    @property
    def excerpt(self) -> tuple[str, ...]:
        """What to show of its output: the first errors, or else the last lines."""
        return self.errors or self.tail


class CommandRunner(Protocol):
    """Runs a command to its end and leaves no process behind."""

    async def __call__(self, command: Command, halt: Awaitable[str]) -> CommandResult:
        """Run until the command ends, its timeout passes, or ``halt`` returns a reason to stop."""
        ...
