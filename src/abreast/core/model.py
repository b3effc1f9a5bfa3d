"""The nouns: what a project is made of, and what a deployment does with it.

Durations are seconds. Moments are ISO 8601 texts in UTC (``2026-11-21T01:02:03.456Z``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from abreast.core.gates import Gate


@dataclass(frozen=True, slots=True)
class Build:
    """How a service's artifact is made: ``run`` in a clean checkout, then the folder ``output`` of it.

    Without ``run`` the checkout itself is taken, without ``output`` all of it. With ``image``, a name without a tag,
    the artifact is the image that ``dockerfile`` makes of that folder, pushed to its registry.
    """

    run: str | None = None
    output: str | None = None
    timeout: float = 900.0
    image: str | None = None
    dockerfile: str = "Dockerfile"


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """What must hold of a running version: ``path`` answers 2xx or 3xx ``within`` seconds.

    ``start``: until the first good answer; ``hold``: how long answers stay good before users come.
    """

    path: str = "/"
    within: float = 2.0
    start: float = 60.0
    hold: float = 1.0


class BreakingChangePolicy(StrEnum):
    """What happens to a migration that the running version could not live with."""

    BLOCK = "block"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """A service's database: ``url`` is a template such as ``${DATABASE_URL}``, never a value.

    ``migrations`` is a folder of the project; or ``command`` migrates, ``status`` succeeds when there is nothing to do,
    ``down`` takes the last release's migrations back. ``variable``: the one by which the service gets the URL.
    ``scratch``: a template of a URL where copies may be made, in place of beside it. Limits are those of a statement.
    """

    url: str
    variable: str = "DATABASE_URL"
    migrations: str | None = None
    command: str | None = None
    status: str | None = None
    down: str | None = None
    scratch: str | None = None
    statement_timeout: float = 900.0
    lock_timeout: float = 2.0

    @property
    def has_migrations(self) -> bool:
        """Whether abreast brings it up to date."""
        return bool(self.migrations or self.command)


@dataclass(frozen=True, slots=True)
class Service:
    """One deployable part, as it is meant in one environment.

    With ``run`` it is a backend (a command that listens on ``$PORT``), without it a frontend (a folder).
    ``secrets`` maps a variable's name to a template such as ``${DATABASE_URL}``: never to a value.
    """

    name: str
    platform: str
    settings: Mapping[str, str | int | Mapping[str, str]] = field(default_factory=dict)
    watch: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    build: Build = Build()
    run: str | None = None
    instances: int = 2
    health: HealthSettings = HealthSettings()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    database: DatabaseSettings | None = None


class OnFailure(StrEnum):
    """Who turns back when one service fails at or after the turn."""

    TOGETHER = "together"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where releases go; ``settle``: watched before the old version goes, ``drain``: its limit to finish.

    ``gates`` are asked before anything is brought up; ``may_skip`` names those that a person may skip.
    ``breaking``: what happens to migrations that the running version could not live with; ``rto`` and ``rpo`` are the
    seconds that a recovery may take, and that a disaster may cost.
    ``rotate_after``: how old secrets may get, by ``service/NAME``. ``tag``: a release that got there is tagged in git.
    """

    name: str
    services: tuple[Service, ...]
    settle: float = 10.0
    drain: float = 30.0
    on_failure: OnFailure = OnFailure.TOGETHER
    gates: tuple[Gate, ...] = ()
    may_skip: tuple[str, ...] = ()
    rotate_after: Mapping[str, float] = field(default_factory=dict)
    tag: bool = False
    breaking: BreakingChangePolicy = BreakingChangePolicy.WARN
    rto: float | None = None
    rpo: float | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a version answers HTTP: a base ``url``, through the Unix ``socket`` where one is named."""

    url: str
    socket: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a service as it stands on its platform; ``id`` is ``{service}-{deployment}``.

    ``probes``: where each instance of it answers before users come; ``url``: where users reach the service.
    ``turned``: where it is asked after the turn, in their place. ``handle``: how its platform finds it.
    """

    id: str
    service: str
    probes: tuple[Address, ...]
    url: str
    live_probes: tuple[Address, ...] = ()
    handle: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveService:
    """What users of one service reach now."""

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

    ``up``: files that are run before the new version starts; with a ``command`` they are not known. ``down``: files
    that are taken back when no user is on the version that needs them, as they stand at the commit ``since``;
    ``stays`` says why the schema is left as it is. ``restore`` names a backup that is put in the database's place.
    ``risks``: what the running version could not live with. ``rto`` and ``rpo``: objectives of a drill, in seconds.
    """

    breaking: BreakingChangePolicy
    up: tuple[str, ...] = ()
    command: bool = False
    down: tuple[str, ...] = ()
    since: str = ""
    kept_reason: str = ""
    restore: str = ""
    risks: tuple[str, ...] = ()
    rto: float | None = None
    rpo: float | None = None

    @property
    def is_forward(self) -> bool:
        """Whether something is run before the new version starts."""
        return bool(self.up or (self.command and not self.since))

    @property
    def is_backward(self) -> bool:
        """Whether something is taken back when no user is on the version that needs it."""
        return bool(self.down or (self.command and self.since))


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What a deployment does with one service, and ``why``; ``artifact`` is set where it is built already.

    ``previous``: what abreast made live there. ``before``: what users reach now, also if others put it there.
    ``leads_to``: services whose new version has a new address, to which this one leads its users. ``place``: where
    its new version will answer, if that is settled with the plan. ``changed``: the files that count for it, between
    what is live and the commit, each with the pattern that decided.
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

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


class DeploymentKind(StrEnum):
    """Why a deployment was made."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    MIGRATE = "migrate"
    REHEARSE = "rehearse"
    RESTORE = "restore"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a deployment needs to run, and to go on after a crash; holds no secret's value.

    ``anew``: what was made before from the same is built again.
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
    gates: tuple[Gate, ...] = ()
    force_rebuild: bool = False
    tag: bool = False

    @property
    def rollouts(self) -> tuple[ServicePlan, ...]:
        """The services of which this deployment brings up a new version."""
        return tuple(part for part in self.services if part.action is Action.DEPLOY)

    @property
    def removals(self) -> tuple[ServicePlan, ...]:
        """The services that are live and not wanted any more."""
        return tuple(part for part in self.services if part.action is Action.REMOVE)

    @property
    def database_changes(self) -> tuple[ServicePlan, ...]:
        """The services whose database this deployment touches."""
        return tuple(part for part in self.services if part.database_plan)

    @property
    def traffic_changes(self) -> tuple[ServicePlan, ...]:
        """The services whose users this deployment moves."""
        return self.rollouts + self.removals


class Chapter(StrEnum):
    """The parts of the story, in order."""

    PLAN = "plan"
    GATES = "gates"
    BUILD = "build"
    BACKUP = "backup"
    REHEARSE = "rehearse"
    MIGRATE = "migrate"
    STAGE = "stage"
    CHECK = "check"
    TURN = "turn"
    WATCH = "watch"
    SETTLE = "settle"
    RESTORE = "restore"
    TURN_BACK = "turn-back"


class FailureCause(StrEnum):
    """What a failure came from: the thing itself, a gate that said no, another's failure, or a person's request."""

    FAULT = "fault"
    REFUSED = "refused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a service, or the whole deployment, did not get there; ``log``: the last lines of what it printed."""

    chapter: Chapter
    message: str
    service: str | None = None
    log: tuple[str, ...] = ()
    cause: FailureCause = FailureCause.FAULT
