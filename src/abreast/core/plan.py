"""What a deployment is to do: with each service, with its database, and all of it together."""

from dataclasses import replace
from enum import StrEnum

from abreast.core.approvals.rule import ApprovalRule
from abreast.core.attestations import Attestation
from abreast.core.freeze import FreezeWindow
from abreast.core.frozen_dataclass import dataclass
from abreast.core.gates import Gate
from abreast.core.model import BreakingChangePolicy, LiveService, Service, Version
from abreast.core.risk import Risk
from abreast.core.strategy import Strategy


class OnFailure(StrEnum):
    """Which services turn back when one fails during or after the turn."""

    TOGETHER = "together"
    ALONE = "alone"


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
    preview is made anew from this backup; "" from nothing, None if it stays as it is. ``irreversible``: those of ``up``
    that a rollback does not reverse, all or none: one without a safe down step keeps the others. ``maintenance``: the
    services whose users get a page while a migration runs that breaks the running version.
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
    irreversible: tuple[str, ...] = ()
    maintenance: tuple[str, ...] = ()

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
    ``strategy`` is how it is deployed this time, None in a way of its platform's own.
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
    strategy: Strategy | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def rollout_service(self) -> Service:
        """The service with the strategy by which it is deployed this time."""
        return replace(self.service, strategy=self.strategy) if self.strategy else self.service


class DeploymentKind(StrEnum):
    """What a deployment does."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    MIGRATE = "migrate"
    REHEARSE = "rehearse"
    RESTORE = "restore"
    DRILL = "drill"

    @property
    def is_releasing(self) -> bool:
        """Whether it puts a release into an environment."""
        return self in {DeploymentKind.DEPLOY, DeploymentKind.ROLLBACK}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a deployment needs to run, and to resume after a crash. Contains no secrets.

    ``force_rebuild``: build even if an artifact of the same inputs exists. ``author`` started it, ``run_url`` shows the
    run of the CI system that did, "" outside of one; ``authors`` are who that was and who wrote its commits.
    ``approval`` is needed before anything is staged, but for an ``emergency``, which checks only what users need.
    ``freeze_skipped``: who deploys in spite of a ``freeze``, and why. ``superseded``: why the commit must not go live
    any more. ``attested`` is as of an Environment. ``base``: the environment that this one is a preview of, "" if none.
    ``notes``: what a person should know before it. ``lock_after_failure`` is as of an Environment. ``risk`` is as it
    was known when this was planned.
    ``proposed_by``: who proposed it, with the hash that a person approved, "" if nobody did.
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
    notes: tuple[str, ...] = ()
    lock_after_failure: bool = False
    risk: Risk | None = None
    proposed_by: str = ""

    @property
    def awaits_approval(self) -> bool:
        """Whether people have to approve it before anything is staged."""
        return self.approval is not None and not self.emergency

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
