"""Gates: what must pass before a deployment, and their results."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass

TEST, COVERAGE = "test", "coverage"
BACKUP = "backup"
"""The name by which ``--skip-gate`` accepts a backup that cannot be verified."""


class Severity(StrEnum):
    """Severity of a finding, in ascending order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its position, for comparison."""
        return list(Severity).index(self)


class GateVerdict(StrEnum):
    """The verdict of a gate. ``unknown``: it could not check, so it may be either."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class ScanKind(StrEnum):
    """The kinds of security scans."""

    SECRETS = "secrets"
    DEPENDENCIES = "dependencies"
    CODE = "code"
    WORKFLOWS = "workflows"
    DOCKERFILES = "dockerfiles"
    IMAGES = "images"


@dataclass(frozen=True, slots=True)
class CoverageThreshold:
    """Required coverage in percent: of all lines, and of lines changed since the live release.

    ``skipped``: who skips it, and why.
    """

    total: float = 70.0
    changed: float | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """A finding allowed until ``expires`` (ISO date), in files that match ``path`` (a glob)."""

    gate: str
    rule: str
    path: str
    owner: str
    reason: str
    expires: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. ``runner`` evaluates it: ``command``, ``scan``, or the name of a plug-in with its ``settings``.

    ``service``: its service, None for a gate of the project. Commands: ``run`` runs in ``folder`` of the checkout;
    ``reports`` and ``coverage`` are globs of the reports that it writes, empty for the usual names there.
    ``threshold`` applies to the coverage. Scans: findings block from ``min_severity``, except those in ``allowlist``.
    ``pass_if_unknown``: unknown does not block. ``include_artifacts``: build output is scanned too.
    ``since``: what the commit and those before it brought is a baseline, which is reported and does not block.
    ``max_image_bytes``: size limit of images. ``skipped``: who skips the gate, and why.
    """

    name: str
    service: str | None = None
    runner: str = "command"
    settings: Mapping[str, object] = field(default_factory=dict)
    run: str | None = None
    timeout: float = 900.0
    env: Mapping[str, str] = field(default_factory=dict)
    reports: tuple[str, ...] = ()
    coverage: tuple[str, ...] = ()
    threshold: CoverageThreshold | None = None
    scan: ScanKind | None = None
    min_severity: Severity = Severity.LOW
    pass_if_unknown: bool = False
    include_artifacts: bool = False
    since: str | None = None
    max_image_bytes: int = 2_000_000_000
    allowlist: tuple[AllowlistEntry, ...] = ()
    skipped: str | None = None
    folder: str = ""

    @property
    def key(self) -> str:
        """Its unique key in a deployment."""
        return f"{self.name}/{self.service}" if self.service else self.name


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a gate, and its location. ``baseline``: it was there before the gate, and does not block."""

    rule: str
    message: str
    severity: Severity = Severity.HIGH
    file: str = ""
    line: int = 0
    baseline: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.severity}  {where}{'  ' if where else ''}{self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict of a gate and ``why``. ``lines`` show details to a person. ``figures`` are measurements."""

    gate: str
    verdict: GateVerdict
    why: str = ""
    lines: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_blocking(self) -> bool:
        """Whether the deployment stops."""
        return self.verdict in {GateVerdict.FAILED, GateVerdict.UNKNOWN}


def select_gates(
    gates: Sequence[Gate], built: Collection[str], skips: Collection[str], reason: str
) -> tuple[Gate, ...]:
    """Return the gates of a deployment.

    Commands run for services in ``built``; commands of the project run if any service is. Other gates always run.
    Gates in ``skips`` are marked with ``reason``.
    """
    selected = [gate for gate in gates if gate.run is None or (gate.service in built if gate.service else built)]
    return tuple(_with_skips(gate, skips, reason) for gate in selected)


def _with_skips(gate: Gate, skips: Collection[str], reason: str) -> Gate:
    """Return the gate with its skips marked. Coverage can be skipped apart from its test command."""
    if COVERAGE in skips and gate.threshold:
        gate = replace(gate, threshold=replace(gate.threshold, skipped=reason))
    return replace(gate, skipped=reason) if gate.name in skips else gate


def skipped_results(gate: Gate) -> tuple[GateResult, ...]:
    """Return the results of a skipped gate. Without its tests, coverage is unknown."""
    results = [GateResult(gate.name, GateVerdict.SKIPPED, gate.skipped or "")]
    if gate.threshold and gate.threshold.skipped is None:
        results.append(GateResult(COVERAGE, GateVerdict.UNKNOWN, f"{gate.name} was skipped, which would have told it"))
    elif gate.threshold:
        results.append(GateResult(COVERAGE, GateVerdict.SKIPPED, gate.threshold.skipped or ""))
    return tuple(results)


def skippable_names(gates: Sequence[Gate]) -> tuple[str, ...]:
    """Return the names that ``--skip-gate`` accepts."""
    found = [name for gate in gates for name in (gate.name, *([COVERAGE] if gate.threshold else []))]
    return tuple(dict.fromkeys(found))
