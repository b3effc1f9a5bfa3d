"""What the story needs from outside, handed in by the wiring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from abreast.artifacts.interface import ArtifactStore
from abreast.checks.interface import Check
from abreast.commands.interface import CommandRunner
from abreast.core.model import Service
from abreast.core.secrets import Secret
from abreast.database.interface import BackupStore, Database
from abreast.gates.interface import GateRunner
from abreast.ledger.interface import Ledger
from abreast.platforms.interface import Platform
from abreast.source.interface import Source


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a deployment works: ``work`` for what is being built, ``logs`` for what commands print."""

    work: Path
    logs: Path


@dataclass(frozen=True, slots=True)
class ArtifactRetention:
    """Artifacts of the last ``releases`` stay, and those younger than ``seconds``; and whatever is live, anywhere."""

    keep_last: int = 20
    keep_within: float = 30 * 86400.0


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
    run_command: CommandRunner
    gates: Mapping[str, GateRunner]
    source: Source
    artifacts: ArtifactStore
    retention: ArtifactRetention
    folders: Folders
    reveal_secrets: Callable[[Service], Mapping[str, Secret]]
    known_secrets: frozenset[str] = field(repr=False)
    fingerprint: Callable[[Secret], str]
    inherited_environment: Mapping[str, str]
    now: Callable[[], str]
    open_database: Callable[[Service], Database]
    vault: BackupStore
    backup_context: Callable[[], Mapping[str, object]] = field(repr=False)
