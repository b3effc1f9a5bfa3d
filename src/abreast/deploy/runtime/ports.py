"""The ports of a deployment: everything it needs from outside, provided by the wiring."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from abreast.artifacts.interface import ArtifactStore
from abreast.attestations.interface import Attestor
from abreast.checks.interface import Check
from abreast.ci.interface import CiRun
from abreast.commands.interface import CommandRunner
from abreast.core.approvals.rule import ApprovalRule
from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import Identity, unknown
from abreast.core.maintenance import MaintenancePage
from abreast.core.model import Service
from abreast.core.plan import Plan
from abreast.core.secrets import Secret
from abreast.database.interface import BackupStore, Database, DatabaseServers
from abreast.gates.interface import GateRunner
from abreast.ledger.interface import Ledger
from abreast.notify.interface import Notifier
from abreast.platforms.interface import Platform
from abreast.runtimes.interface import InstallStore, PythonProvider
from abreast.source.interface import Source

FINGERPRINTS = "fingerprints"
"""What of ``Ports.only_here`` stands for the key that fingerprints are made with."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of deployments: ``work`` for checkouts and builds, ``logs`` for the output of commands."""

    work: Path
    logs: Path


@dataclass(frozen=True, slots=True)
class ArtifactRetention:
    """Keep artifacts of the last ``keep_last`` releases, those younger than ``keep_within`` seconds, and live ones."""

    keep_last: int = 20
    keep_within: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one environment.

    ``end_orphans`` ends the commands, with logs in a folder, that a killed process left running.
    ``gates`` maps a gate's ``runner`` to what evaluates it. ``reveal_secrets`` returns the secrets of a service;
    ``known_secrets`` are the values of abreast's own. ``fingerprint`` returns a digest that tells two values apart.
    ``inherited_environment`` holds the variables that every child process inherits. ``now`` returns ISO 8601.
    ``notifiers`` returns who is told about deployments. ``approver_notifiers`` returns those that tell one person each
    that a deployment waits for them, with a link of their own, and ``links_refusal`` why nobody of a rule gets one who
    has an address, "" if they do. ``only_here`` names what others cannot read, though they read the ledger: the keys
    of abreast.yml, ``artifacts`` and ``backups``, that have no store, and ``FINGERPRINTS``.
    ``open_vault`` returns the store of backups. Each holds ``backup_context`` too: the configuration and its variables.
    ``ci_run`` is the run of a CI system that this process belongs to. ``operator`` returns who started that, or this
    process, ``identity`` what is known of them, ``reviewers`` who let it begin, by environment. ``attestor`` signs what
    is built and verifies it.
    ``maintenance_page`` returns the environment's own page, and raises UsageError if that cannot be read.
    ``servers`` are those that abreast runs for databases.
    """

    ledger: Ledger
    platforms: Mapping[str, Platform]
    check: Check
    run_command: CommandRunner
    end_orphans: Callable[[Path], None]
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
    open_vault: Callable[[], BackupStore]
    backup_context: Callable[[], Mapping[str, object]] = field(repr=False)
    python: PythonProvider
    installs: InstallStore
    attestor: Attestor
    notifiers: Callable[[], Sequence[Notifier]] = tuple
    only_here: frozenset[str] = frozenset()
    ci_run: CiRun | None = None
    operator: Callable[[], str] = str
    reviewers: Callable[[str], Awaitable[Sequence[str]]] | None = None
    approver_notifiers: Callable[[Plan], Sequence[Notifier]] = lambda _: ()
    links_refusal: Callable[[str, ApprovalRule], str] = lambda _, __: ""
    maintenance_page: Callable[[], MaintenancePage] = MaintenancePage
    identity: Callable[[], Identity] = unknown
    servers: DatabaseServers = DatabaseServers()
