"""The nouns: services, environments, versions, plans and failures.

Durations are in seconds. Timestamps are ISO 8601 texts in UTC (``2026-11-21T01:02:03.456Z``).
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from abreast.core.approval import ApprovalRule
from abreast.core.attestations import Attestation
from abreast.core.freeze import FreezeWindow
from abreast.core.frozen_dataclass import dataclass
from abreast.core.gates import Gate

DEFAULT_PLATFORM = "local"
"""The platform of a service that names none."""


@dataclass(frozen=True, slots=True)
class Build:
    """How to build a service's artifact: ``run`` in a clean checkout produces the folder ``output``.

    Before it, ``install`` leaves dependencies in the checkout, which depend on lock files alone.

    Without ``run`` the artifact is the checkout as it is, without ``output`` all of it. With ``image`` (a name without
    a tag) the artifact is a container image, built from ``output`` (or else the service's folder) with ``dockerfile``
    and pushed to its registry. Paths are relative to the project.
    """

    run: str | None = None
    output: str | None = None
    timeout: float = 900.0
    install: str | None = None
    image: str | None = None
    dockerfile: str = "Dockerfile"


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The health check of a version: ``path`` answers within ``within`` seconds, with less than ``failing_status``.

    A worker runs, and its ``command``, if it has one, succeeds within that time. The first success must come within
    ``start`` seconds. The version is healthy after ``hold`` seconds of successes.
    """

    path: str = "/"
    failing_status: int = 400
    within: float = 2.0
    start: float = 60.0
    hold: float = 1.0
    command: str | None = None


class ServiceType(StrEnum):
    """What a service does with its ``run``: serve users, work without an address, or run to its end on a schedule."""

    WEB = "web"
    WORKER = "worker"
    SCHEDULED = "scheduled"

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return {"web": "web service", "worker": "worker", "scheduled": "scheduled command"}[self.value]


@dataclass(frozen=True, slots=True)
class ReleaseCommand:
    """A command that runs once for each release, before its candidate starts. ``timeout`` is in seconds."""

    run: str
    timeout: float = 900.0


class BreakingChangePolicy(StrEnum):
    """What happens to a migration that would break the running version."""

    BLOCK = "block"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """A service's database. ``url`` is a template such as ``${DATABASE_URL}``, never a value.

    Either ``migrations`` is a folder of SQL files, recorded in ``migrations_table``, or ``command`` migrates: then
    ``status`` succeeds if nothing is pending, and ``down`` reverses the migrations of the last release. The service
    gets the URL in ``variable``. Copies are created beside the database, or on the server at the template
    ``scratch``, by the role in the template ``admin`` if there is one; on them, the templates in ``rehearsal_env``
    replace variables. Timeouts apply to each statement. ``copy`` names the copy that a preview uses in its place.
    """

    url: str
    variable: str = "DATABASE_URL"
    migrations: str | None = None
    command: str | None = None
    status: str | None = None
    down: str | None = None
    scratch: str | None = None
    admin: str | None = None
    rehearsal_env: Mapping[str, str] = field(default_factory=dict)
    migrations_table: str = "migrations"
    statement_timeout: float = 900.0
    lock_timeout: float = 2.0
    copy: str = ""

    @property
    def has_migrations(self) -> bool:
        """Whether abreast migrates it."""
        return bool(self.migrations or self.command)


@dataclass(frozen=True, slots=True)
class Service:
    """A service as configured for one environment.

    With ``run`` it is a backend, without it a frontend (a folder). A backend of type WEB listens on ``$PORT``; one of
    type SCHEDULED runs at the times of ``schedule``, a cron expression, after ``CRON_TZ=…`` if not in UTC. Commands run
    in ``folder`` of a checkout, with an environment of the ``python`` version of its own if one is named (``auto``: the
    version that the commit asks for). ``node`` is the oldest version of Node that will do. ``secrets`` maps each
    variable's name to a template such as ``${DATABASE_URL}``, never to a value. Those in
    ``generated`` are made up where they are not set: once for the environment.
    ``routes`` maps paths of a frontend to the services that answer them and all paths below.
    """

    name: str
    platform: str
    settings: Mapping[str, str | int | Mapping[str, str | int]] = field(default_factory=dict)
    watch: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    build: Build = Build()
    run: str | None = None
    instances: int = 2
    health: HealthSettings = HealthSettings()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    generated: tuple[str, ...] = ()
    database: DatabaseSettings | None = None
    folder: str = ""
    python: str | None = None
    node: str | None = None
    type: ServiceType = ServiceType.WEB
    schedule: str | None = None
    release: ReleaseCommand | None = None
    routes: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_address(self) -> bool:
        """Whether others reach it over HTTP."""
        return self.type is ServiceType.WEB

    @property
    def artifact_folder(self) -> str:
        """The folder in its artifact where its commands run: ``folder`` of a whole checkout, else the top."""
        is_checkout = self.build.output is None and self.build.image is None
        return self.folder if is_checkout else ""


class OnFailure(StrEnum):
    """Which services turn back when one fails during or after the turn."""

    TOGETHER = "together"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a version answers HTTP: a base ``url``, through a Unix ``socket`` if one is named.

    ``bearer`` names the variable whose value is sent as a bearer token, to this URL only.
    """

    url: str
    socket: str | None = None
    bearer: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a service on its platform. ``id`` is ``{service}-{deployment}``; ``url`` is where users reach it.

    ``probes`` are the addresses of its instances before traffic switches, ``live_probes`` those to probe afterwards.
    ``handle`` is what its platform needs to find it again.
    """

    id: str
    service: str
    probes: tuple[Address, ...]
    url: str
    live_probes: tuple[Address, ...] = ()
    handle: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveService:
    """The version of a service that has users, as the ledger records it."""

    service: str
    platform: str
    release: str
    commit: str
    artifact: str
    deployment: str
    since: str
    version: Version
    definition: Service


class Action(StrEnum):
    """What a plan does with a service."""

    DEPLOY = "deploy"
    KEEP = "keep"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """What a deployment does with a service's database, after a verified backup.

    ``up``: the files to run before the new version starts; unknown with a ``command``. ``down``: the files to reverse
    once no user is on the version that needs them, read at the commit ``since``. ``kept_reason``: why the schema stays.
    ``restore``: the backup to restore; ``alternatives``: older ones, in case it is damaged. ``risks``: changes that
    would break the running version. ``rto`` and ``rpo``: the objectives of a drill, in seconds. ``unverified``: who
    accepts a backup that cannot be verified, and why; without one, nothing is rehearsed. ``copy_of``: the database of a
    preview is made anew from this backup; "" from nothing, None if it stays as it is.
    """

    breaking: BreakingChangePolicy
    up: tuple[str, ...] = ()
    command: bool = False
    down: tuple[str, ...] = ()
    since: str = ""
    kept_reason: str = ""
    restore: str = ""
    alternatives: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    rto: float | None = None
    rpo: float | None = None
    unverified: str = ""
    copy_of: str | None = None

    @property
    def is_forward(self) -> bool:
        """Whether a migration runs before the new version starts."""
        return bool(self.up or (self.command and not self.since))

    @property
    def is_backward(self) -> bool:
        """Whether a migration is reversed once no user is on the version that needs it."""
        return bool(self.down or (self.command and self.since))


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What a deployment does with one service, and ``why``. ``artifact`` is set if it is built, with ``attestation``.

    ``previous`` is what abreast deployed last; ``version_before`` is what users reach now, whoever published it.
    ``routes_to`` names services that get a new address and to which this one routes. ``reserved_url`` is the address of
    the new version, if the plan settles it. ``changed_files`` pairs each changed file with the pattern it matched.
    ``shared`` is the service of the base environment that a preview uses, since it has none of its own.
    ``taken_over_by`` names the service that gets the place of a removed one, such as the same one under a new name.
    """

    service: Service
    action: Action
    why: str
    commit: str
    artifact: str | None = None
    previous: LiveService | None = None
    notes: tuple[str, ...] = ()
    version_before: Version | None = None
    routes_to: tuple[str, ...] = ()
    reserved_url: str = ""
    changed_files: tuple[tuple[str, str], ...] = ()
    database_plan: DatabasePlan | None = None
    shared: LiveService | None = None
    attestation: Attestation | None = None
    taken_over_by: str = ""

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


class DeploymentKind(StrEnum):
    """What a deployment does."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    MIGRATE = "migrate"
    REHEARSE = "rehearse"
    RESTORE = "restore"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a deployment needs to run, and to resume after a crash. Contains no secrets.

    ``force_rebuild``: build even if an artifact of the same inputs exists. ``author`` started it, ``run_url`` shows the
    run of the CI system that did, "" outside of one; ``authors`` are who that was and who wrote its commits.
    ``approval`` is needed before anything is staged; ``emergency``: its environment wants one, which is not waited for.
    ``freeze_skipped``: who deploys in spite of a ``freeze``, and why. ``superseded``: why the commit must not go live
    any more. ``attested`` is as of an Environment. ``base``: the environment that this one is a preview of, "" if none.
    """

    deployment: str
    kind: DeploymentKind
    project: str
    environment: str
    release: str
    commit: str
    services: tuple[ServicePlan, ...]
    settle: float
    drain: float
    on_failure: OnFailure
    reason: str = ""
    author: str = ""
    run_url: str = ""
    gates: tuple[Gate, ...] = ()
    force_rebuild: bool = False
    tag: bool = False
    superseded: str = ""
    attested: bool = False
    authors: tuple[str, ...] = ()
    approval: ApprovalRule | None = None
    emergency: bool = False
    freeze: tuple[FreezeWindow, ...] = ()
    freeze_skipped: str | None = None
    base: str = ""

    @property
    def rollouts(self) -> tuple[ServicePlan, ...]:
        """The services that get a new version."""
        return tuple(part for part in self.services if part.action is Action.DEPLOY)

    @property
    def removals(self) -> tuple[ServicePlan, ...]:
        """The live services that are no longer part of the project."""
        return tuple(part for part in self.services if part.action is Action.REMOVE)

    @property
    def database_changes(self) -> tuple[ServicePlan, ...]:
        """The services whose database changes."""
        return tuple(part for part in self.services if part.database_plan)

    @property
    def traffic_changes(self) -> tuple[ServicePlan, ...]:
        """The services whose traffic moves."""
        return self.rollouts + self.removals

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not self.traffic_changes and not self.database_changes


class Chapter(StrEnum):
    """The chapters of a deployment, in order."""

    PLAN = "plan"
    GATES = "gates"
    BUILD = "build"
    APPROVAL = "approval"
    BACKUP = "backup"
    REHEARSE = "rehearse"
    MIGRATE = "migrate"
    RELEASE = "release"
    STAGE = "stage"
    CHECK = "check"
    TURN = "turn"
    WATCH = "watch"
    SETTLE = "settle"
    RESTORE = "restore"
    TURN_BACK = "turn-back"


class FailureCause(StrEnum):
    """The cause of a failure: a fault, a gate that refused, the failure of another service, or a cancel request."""

    FAULT = "fault"
    REFUSED = "refused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a service, or the whole deployment, failed. ``log`` holds the last lines of output."""

    chapter: Chapter
    message: str
    service: str | None = None
    log: tuple[str, ...] = ()
    cause: FailureCause = FailureCause.FAULT
