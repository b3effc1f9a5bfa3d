"""What GitHub's API answers and takes, as far as abreast reads and writes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from pydantic import AliasChoices, BaseModel, Field

T = TypeVar("T")


class DeploymentState(StrEnum):
    """The state of a deployment, as a status sets it."""

    QUEUED = "queued"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"


class Conclusion(StrEnum):
    """How a check run ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    ACTION_REQUIRED = "action_required"
    STALE = "stale"


class AnnotationLevel(StrEnum):
    """How much an annotation matters."""

    NOTICE = "notice"
    WARNING = "warning"
    FAILURE = "failure"


# ── what is sent ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """A deployment to create. ``payload`` is for whoever reads it again."""

    ref: str
    environment: str
    description: str
    production: bool = False
    transient: bool = False
    payload: str = ""


@dataclass(frozen=True, slots=True)
class NewStatus:
    """A status to add to a deployment. ``description`` is cut at GitHub's 140 characters."""

    state: DeploymentState
    description: str = ""
    environment_url: str = ""
    log_url: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark on lines of a file."""

    path: str
    line: int
    level: AnnotationLevel
    message: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check run is to say. Without a ``conclusion`` it is in progress."""

    title: str
    summary: str
    conclusion: Conclusion | None = None
    details_url: str = ""
    annotations: tuple[Annotation, ...] = ()


class RecordStatus(StrEnum):
    """Whether an artifact runs where a record says."""

    DEPLOYED = "deployed"
    DECOMMISSIONED = "decommissioned"


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """Where an artifact runs. ``deployment`` is unique in its environment; a record of the same one replaces it."""

    name: str
    digest: str
    version: str
    status: RecordStatus
    environment: str
    deployment: str
    tags: Mapping[str, str]


# ── what is answered ───────────────────────────────────────────────────────────────────────────


class Listed(BaseModel, Generic[T]):
    """A page of a list that GitHub wraps: ``total_count`` beside the items."""

    total_count: int
    items: list[T] = Field(validation_alias=AliasChoices("check_runs", "concurrency_groups", "secrets"))


class Owner(BaseModel):
    """Who owns a repository: a ``User`` or an ``Organization``."""

    login: str
    type: str


class Repository(BaseModel):
    """A repository."""

    full_name: str
    owner: Owner
    default_branch: str
    private: bool


class Deployment(BaseModel):
    """A deployment. ``payload`` is whatever its creator gave."""

    id: int
    sha: str
    environment: str
    payload: object = None


class DeploymentStatus(BaseModel):
    """A status of a deployment."""

    id: int
    state: DeploymentState
    description: str | None = None


class CheckOutput(BaseModel):
    """What a check run has said."""

    annotations_count: int = 0


class CheckRun(BaseModel):
    """A check run."""

    id: int
    name: str
    external_id: str | None = None
    output: CheckOutput = CheckOutput()


class User(BaseModel):
    """A user, or an App."""

    login: str


class Comment(BaseModel):
    """A comment on an issue or a pull request."""

    id: int
    body: str = ""
    user: User | None = None


class PullRequest(BaseModel):
    """A pull request."""

    number: int
    state: str


class Account(BaseModel):
    """A person, or an App's bot. The id stays when the login changes."""

    id: int
    login: str


class WorkflowRun(BaseModel):
    """One attempt at a run of a workflow. ``triggering_actor`` started this attempt. Times are ISO 8601 in UTC."""

    status: str | None = None
    triggering_actor: Account | None = None
    run_started_at: datetime
    updated_at: datetime


class RequiredChecks(BaseModel):
    """The checks that a branch's protection requires."""

    strict: bool = False
    contexts: list[str] = []


class Switch(BaseModel):
    """Something that is on or off."""

    enabled: bool = False


class RequiredReviews(BaseModel):
    """The reviews that a branch's protection requires."""

    required_approving_review_count: int = 0


class BranchProtection(BaseModel):
    """What protects a branch."""

    required_status_checks: RequiredChecks | None = None
    required_pull_request_reviews: RequiredReviews | None = None
    enforce_admins: Switch = Switch()
    allow_force_pushes: Switch = Switch()


class Reviewer(BaseModel):
    """Who may approve: a user or a team."""

    type: str
    reviewer: dict[str, object] = {}

    @property
    def name(self) -> str:
        """The user's login or the team's short name."""
        return str(self.reviewer.get("login") or self.reviewer.get("slug") or "?")


class ProtectionRule(BaseModel):
    """A rule of an environment: ``required_reviewers``, ``wait_timer`` or ``branch_policy``."""

    type: str
    reviewers: list[Reviewer] = []
    prevent_self_review: bool = False
    wait_timer: int = 0


class Environment(BaseModel):
    """An environment of a repository."""

    name: str
    protection_rules: list[ProtectionRule] = []

    @property
    def reviewers(self) -> tuple[str, ...]:
        """The names of those of whom one must approve."""
        return tuple(each.name for rule in self.protection_rules for each in rule.reviewers)


class Named(BaseModel):
    """A secret or a variable, without its value."""

    name: str


class ActionsPermissions(BaseModel):
    """Whether workflows run."""

    enabled: bool
    allowed_actions: str = "all"


class WorkflowPermissions(BaseModel):
    """What the token of a workflow may do without a ``permissions:`` of its own."""

    default_workflow_permissions: str
    can_approve_pull_request_reviews: bool


class GroupMember(BaseModel):
    """A run that holds a concurrency group or waits for it."""

    run_id: int
    run_name: str = ""
    run_html_url: str | None = None
    status: str


class ConcurrencyGroup(BaseModel):
    """A concurrency group that a run holds."""

    group_name: str
    group_members: list[GroupMember] = []


class Review(BaseModel):
    """What a reviewer of environments, or a protection rule, said of a run."""

    environments: list[Named]
    state: str
    user: User
    comment: str = ""
