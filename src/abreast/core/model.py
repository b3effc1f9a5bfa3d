"""The nouns: services, versions and failures.

Durations are in seconds. Timestamps are ISO 8601 texts in UTC (``2026-11-21T01:02:03.456Z``).
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass
from abreast.core.strategy import Strategy

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
    ``start`` seconds. The version is healthy after ``hold`` seconds of successes. It is asked every ``interval``
    seconds, None for as often as whoever asks does by default.
    """

    path: str = "/"
    failing_status: int = 400
    within: float = 2.0
    start: float = 60.0
    hold: float = 1.0
    command: str | None = None
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What each instance of a service may use: ``cpu`` in CPUs, ``memory`` in bytes; None is without a limit."""

    cpu: float | None = None
    memory: int | None = None

    def __bool__(self) -> bool:
        return self != Resources()

    def __str__(self) -> str:
        texts = [f"{self.cpu:g} CPU"] if self.cpu else []
        return " and ".join([*texts, *([size_text(self.memory)] if self.memory else [])])


def size_text(size: int) -> str:
    """Return a number of bytes as abreast.yml has it, such as ``512MB``."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return f"{size}B"


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
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """A service's database. ``url`` is a template such as ``${DATABASE_URL}``, never a value.

    Either ``migrations`` is a folder of SQL files, recorded in ``migrations_table``, or ``command`` migrates: then
    ``status`` succeeds if nothing is pending, and ``down`` reverses the migrations of the last release. The service
    gets the URL in ``variable``. Copies are created beside the database, or on the server at the template
    ``scratch``, by the role in the template ``admin`` if there is one; on them, the templates in ``rehearsal_env``
    replace variables. Timeouts apply to each statement. ``copy`` names the copy that a preview uses in its place.
    ``variables`` name the parts of the URL that the service gets in variables too (see ``Database.connection_parts``).
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
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The names of the variables by which the service gets the URL and its parts."""
        return (self.variable, *self.variables)

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
    ``routes`` maps paths of a frontend to the services that answer them and all paths below. ``flags`` are feature
    flags, which its code gets as variables: with ``run`` when it runs, without it when it is built. ``strategy``: how
    users get to its next version, where its platform has that.
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
    flags: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    resources: Resources = Resources()
    strategy: Strategy = Strategy.BLUE_GREEN

    @property
    def has_address(self) -> bool:
        """Whether others reach it over HTTP."""
        return self.type is ServiceType.WEB

    @property
    def artifact_folder(self) -> str:
        """The folder in its artifact where its commands run: ``folder`` of a whole checkout, else the top."""
        is_checkout = self.build.output is None and self.build.image is None
        return self.folder if is_checkout else ""


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
