"""What the story needs from outside, handed in by the wiring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from abreast.artifacts.interface import Artifacts
from abreast.checks.interface import Check
from abreast.commands.interface import Runner
from abreast.core.model import Service
from abreast.core.secrets import Secret
from abreast.database.interface import Database, Vault
from abreast.gates.interface import Judge
from abreast.ledger.interface import Ledger
from abreast.platforms.interface import Platform
from abreast.source.interface import Source


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a deployment works: ``work`` for what is being built, ``logs`` for what commands print."""

    work: Path
    logs: Path


@dataclass(frozen=True, slots=True)
class Retention:
    """Artifacts of the last ``releases`` stay, and those younger than ``seconds``; and whatever is live, anywhere."""

    releases: int = 20
    seconds: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The seams of one environment.

    ``database`` opens a service's, ``vault`` keeps its backups, and with each what ``around`` returns: the
    configuration and the variables as they are.
    ``reveal`` looks up the values of a service's secrets, ``known`` are those of abreast itself,
    ``fingerprint`` tells two values of one apart. ``inherited`` is what
    every child's environment begins with; ``gates`` judge a command (``run``) or what a scan looks for; ``now`` is
    the time as an ISO 8601 text.
    """

    ledger: Ledger
    platforms: Mapping[str, Platform]
    check: Check
    command: Runner
    gates: Mapping[str, Judge]
    source: Source
    artifacts: Artifacts
    retention: Retention
    folders: Folders
    reveal: Callable[[Service], Mapping[str, Secret]]
    known: frozenset[str] = field(repr=False)
    fingerprint: Callable[[Secret], str]
    inherited: Mapping[str, str]
    now: Callable[[], str]
    database: Callable[[Service], Database]
    vault: Vault
    around: Callable[[], Mapping[str, object]] = field(repr=False)
