"""The port of gates: evaluate a commit before it is deployed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from abreast.core.frozen_dataclass import dataclass
from abreast.core.gates import Gate, GateResult


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a command ended: ``why`` is "" if it succeeded, ``code`` is None if it was stopped."""

    why: str
    tail: tuple[str, ...]
    code: int | None = None


@dataclass(frozen=True, slots=True)
class GateContext:
    """What a gate evaluates.

    ``workdir`` is a clean checkout of the commit, for this gate alone; ``scratch_dir`` is a folder for its own files.
    ``run_command`` takes a name (unique among concurrent commands), a shell command, extra environment variables and a
    timeout in seconds; it runs in ``workdir`` and is logged. ``changed_lines`` returns the lines that changed, by
    file, or None if that is unknown. ``export_outgoing`` writes every version of each file since the live commit and
    the gate's ``since``, or of the whole history if there is neither, and yields folders with COMMIT/FILE; each is
    replaced by the next. It raises UsageError or OSError if it cannot. ``export_baseline`` does the same for what is
    not live and was there at ``since``. ``await_artifacts`` waits for the build and returns folders by service.
    ``today`` is an ISO date.
    """

    workdir: Path
    scratch_dir: Path
    today: str
    run_command: Callable[[str, str, Mapping[str, str], float], Awaitable[CommandOutcome]] = field(repr=False)
    changed_lines: Callable[[], Awaitable[Mapping[str, frozenset[int]] | None]] = field(repr=False)
    export_outgoing: Callable[[Path], AsyncIterator[Path]] = field(repr=False)
    export_baseline: Callable[[Path], AsyncIterator[Path]] = field(repr=False)
    await_artifacts: Callable[[], Awaitable[Mapping[str, Path]]] = field(repr=False)


class GateRunner(Protocol):
    """Evaluates a gate once; problems found are results, never exceptions."""

    async def __call__(self, gate: Gate, context: GateContext) -> tuple[GateResult, ...]:
        """Return the gate's result, and for a command with coverage a second one."""
        ...


@dataclass(frozen=True, slots=True)
class GatePlugin:
    """A gate that a package registers in the entry point group ``abreast.gates``.

    The entry point's name is the gate's key under ``gates`` in abreast.yml; ``settings`` is the model of its value.
    None is for abreast's own runners, whose settings belong to abreast.yml itself.
    """

    evaluate: GateRunner
    settings: type[BaseModel] | None = None
