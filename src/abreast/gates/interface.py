"""The port that every gate fills: one look at what would go out, and what it amounts to."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from abreast.core.gates import Gate, GateResult


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a command ended: ``why`` is "" when it succeeded, ``code`` None where it was cut off."""

    why: str
    tail: tuple[str, ...]
    code: int | None = None


@dataclass(frozen=True, slots=True)
class GateContext:
    """What a gate looks at: ``room``, a clean checkout of the commit that is this gate's own.

    ``command`` runs a text there (named, so that several can run at once), with variables beside the usual ones, and
    logs it. ``changed``: the lines that the
    commit changed, by file; None where that cannot be told. ``scratch`` is a folder for what it writes itself;
    ``outgoing`` puts every version of a file that the commits bring, since what is live, into a folder, below the
    commit's name. ``artifacts`` waits for what is built, and returns it by service. ``today`` is an ISO date.
    """

    workdir: Path
    scratch_dir: Path
    today: str
    run_command: Callable[[str, str, Mapping[str, str], float], Awaitable[CommandOutcome]] = field(repr=False)
    changed_lines: Callable[[], Awaitable[Mapping[str, frozenset[int]] | None]] = field(repr=False)
    export_outgoing: Callable[[Path], Awaitable[None]] = field(repr=False)
    await_artifacts: Callable[[], Awaitable[Mapping[str, Path]]] = field(repr=False)


class GateRunner(Protocol):
    """Looks once; never raises for what it finds."""

    async def __call__(self, gate: Gate, context: GateContext) -> tuple[GateResult, ...]:
        """Return what the gate says; a command's coverage is judged beside it."""
        ...


@dataclass(frozen=True, slots=True)
class GatePlugin:
    """What a package registers under the entry point group ``abreast.gates``.

    The entry point's name is the gate's key under ``gates`` in abreast.yml, and ``settings`` the model of its value.
    None is for abreast's own runners, whose settings belong to abreast.yml itself.
    """

    evaluate: GateRunner
    settings: type[BaseModel] | None = None
