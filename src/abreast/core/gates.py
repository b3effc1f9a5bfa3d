"""Gates: what must hold before users are touched, and what was found; every judgement is data."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

TEST, COVERAGE = "test", "coverage"


class Severity(StrEnum):
    """How bad a finding is, from the least on."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place, so that severities can be compared."""
        return list(Severity).index(self)


class GateVerdict(StrEnum):
    """What a gate says; ``unknown``: it could not look, so that it may be either."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class ScanKind(StrEnum):
    """What is looked for in a security gate."""

    SECRETS = "secrets"
    DEPENDENCIES = "dependencies"
    CODE = "code"
    WORKFLOWS = "workflows"
    DOCKERFILES = "dockerfiles"
    IMAGES = "images"


@dataclass(frozen=True, slots=True)
class CoverageThreshold:
    """Parts of a hundred of the lines that tests must reach: of all, and of those that changed since what is live.

    ``skipped``: who does not ask for it, and why.
    """

    total: float = 70.0
    changed: float | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """A finding that does not count for a while: its rule, below ``path`` (a glob); ``expires`` is an ISO date."""

    gate: str
    rule: str
    path: str
    owner: str
    reason: str
    expires: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must hold; with ``run`` a command that must succeed, with ``scan`` something looked for.

    ``runner`` names what evaluates it: ``command``, ``scan``, or the plug-in that a package registered, whose
    ``settings`` are what abreast.yml says of it.

    ``service``: whose it is, None for the project's. ``reports`` and ``coverage`` are globs of what the command
    writes, where its usual places are not meant; ``threshold`` is asked of its coverage. ``block``: from which severity
    on a finding counts, but for what ``allow`` names; ``unknown``: whether it passes although nobody could look;
    ``thorough``: it looks at what was built too; ``largest``: bytes that an image may have. ``skipped``: who skips it,
    and why.
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
    max_image_bytes: int = 2_000_000_000
    allowlist: tuple[AllowlistEntry, ...] = ()
    skipped: str | None = None

    @property
    def key(self) -> str:
        """What tells it from the other gates of a deployment."""
        return f"{self.name}/{self.service}" if self.service else self.name


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a gate found, and where."""

    rule: str
    message: str
    severity: Severity = Severity.HIGH
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.severity}  {where}{'  ' if where else ''}{self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate said, and ``why``; ``lines`` show what was found, for a person; ``figures`` what was measured."""

    gate: str
    verdict: GateVerdict
    why: str = ""
    lines: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_blocking(self) -> bool:
        """Whether the deployment stops here."""
        return self.verdict in {GateVerdict.FAILED, GateVerdict.UNKNOWN}


def select_gates(
    gates: Sequence[Gate], built: Collection[str], skips: Collection[str], reason: str
) -> tuple[Gate, ...]:
    """Return the gates of a deployment: of the services that are ``built``, those of all if any is.

    Those in ``skips`` are marked with the reason. Commands test what is built; all others look at whatever goes out.
    """
    selected = [gate for gate in gates if gate.run is None or (gate.service in built if gate.service else built)]
    return tuple(_with_skips(gate, skips, reason) for gate in selected)


def _with_skips(gate: Gate, skips: Collection[str], reason: str) -> Gate:
    """Return the gate with what is skipped of it; the coverage that a test command reports is a gate of its own."""
    if COVERAGE in skips and gate.threshold:
        gate = replace(gate, threshold=replace(gate.threshold, skipped=reason))
    return replace(gate, skipped=reason) if gate.name in skips else gate


def skipped_results(gate: Gate) -> tuple[GateResult, ...]:
    """Return what stands in the record of a gate that is skipped; coverage is not known without its tests."""
    results = [GateResult(gate.name, GateVerdict.SKIPPED, gate.skipped or "")]
    if gate.threshold and gate.threshold.skipped is None:
        results.append(GateResult(COVERAGE, GateVerdict.UNKNOWN, f"{gate.name} was skipped, which would have told it"))
    elif gate.threshold:
        results.append(GateResult(COVERAGE, GateVerdict.SKIPPED, gate.threshold.skipped or ""))
    return tuple(results)


def skippable_names(gates: Sequence[Gate]) -> tuple[str, ...]:
    """Return the names by which gates are skipped."""
    found = [name for gate in gates for name in (gate.name, *([COVERAGE] if gate.threshold else []))]
    return tuple(dict.fromkeys(found))
