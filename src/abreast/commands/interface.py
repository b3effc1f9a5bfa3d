"""The port of running commands: what to run, and how it ended."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, with ``/bin/sh``, in ``cwd``; ``env`` is its whole environment, ``secrets`` are names in it."""

    text: str
    cwd: Path
    log: Path
    timeout: float
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended: ``why`` is "" when it succeeded, ``code`` None where it was cut off."""

    why: str
    tail: tuple[str, ...]
    exit_code: int | None = None


class CommandRunner(Protocol):
    """Runs a command to its end; nothing of it stays behind."""

    async def __call__(self, command: Command, halt: Awaitable[str]) -> CommandResult:
        """Run until it ends, its timeout passes, or ``halt`` says why it should stop."""
        ...
