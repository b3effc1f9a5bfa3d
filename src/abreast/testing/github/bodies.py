"""What requests may carry, as GitHub describes it. Keys that it does not describe are refused."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

CONCLUSIONS = Literal["action_required", "cancelled", "failure", "neutral", "success", "skipped", "stale", "timed_out"]
Text = Annotated[str, StringConstraints(max_length=65_535)]


def _require_url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("must use http(s) scheme")
    return text


Url = Annotated[str, AfterValidator(_require_url)]


class Body(BaseModel):
    """A body whose keys are all described."""

    model_config = ConfigDict(extra="forbid")


class NewDeployment(Body):
    """A deployment to create."""

    ref: Annotated[str, StringConstraints(min_length=1)]
    task: str = "deploy"
    auto_merge: bool = True
    required_contexts: list[str] | None = None
    payload: dict[str, Any] | str = ""
    environment: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "production"
    description: Annotated[str, StringConstraints(max_length=140)] | None = ""
    transient_environment: bool = False
    production_environment: bool | None = None


class NewStatus(Body):
    """A status to add to a deployment."""

    state: Literal["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]
    target_url: Url = ""
    log_url: Url = ""
    description: Annotated[str, StringConstraints(max_length=140)] = ""
    environment: str | None = None
    environment_url: Url = ""
    auto_inactive: bool = True


class Annotation(Body):
    """A remark on lines of a file."""

    path: Annotated[str, StringConstraints(min_length=1)]
    start_line: int = Field(ge=1)
    end_line: int = Field(ge=1)
    start_column: int | None = None
    end_column: int | None = None
    annotation_level: Literal["notice", "warning", "failure"]
    message: Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
    title: Annotated[str, StringConstraints(max_length=255)] | None = None
    raw_details: Text | None = None


class Output(Body):
    """What a check run says."""

    title: Annotated[str, StringConstraints(max_length=255)] | None = None
    summary: Text
    text: Text | None = None
    annotations: Annotated[list[Annotation], Field(max_length=50)] = []


class ChangedCheckRun(Body):
    """What changes of a check run."""

    name: str | None = None
    details_url: Url | None = None
    external_id: str | None = None
    status: Literal["queued", "in_progress", "completed"] | None = None
    started_at: str | None = None
    conclusion: CONCLUSIONS | None = None
    completed_at: str | None = None
    output: Output | None = None


class NewCheckRun(ChangedCheckRun):
    """A check run to create."""

    name: Annotated[str, StringConstraints(min_length=1)]
    head_sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class CommentBody(Body):
    """A comment's text."""

    body: Annotated[str, StringConstraints(min_length=1, max_length=65_536)]


class ReviewerId(Body):
    """Who may approve."""

    type: Literal["User", "Team"]
    id: int


class EnvironmentBody(Body):
    """The rules of an environment; what is left out is reset."""

    wait_timer: Annotated[int, Field(ge=0, le=43_200)] | None = 0
    prevent_self_review: bool | None = False
    reviewers: Annotated[list[ReviewerId], Field(max_length=6)] | None = None
    deployment_branch_policy: dict[Literal["protected_branches", "custom_branch_policies"], bool] | None = None


class Bundle(Body):
    """A Sigstore bundle."""

    mediaType: str  # noqa: N815 (its name)
    verificationMaterial: dict[str, Any]  # noqa: N815
    dsseEnvelope: dict[str, Any]  # noqa: N815


class NewAttestation(Body):
    """A signed statement about an artifact."""

    bundle: Bundle


class DeploymentRecord(Body):
    """Where an artifact runs."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[a-f0-9]{64}$")]
    version: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    status: Literal["deployed", "decommissioned"]
    logical_environment: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    physical_environment: Annotated[str, StringConstraints(max_length=128)] = ""
    cluster: Annotated[str, StringConstraints(max_length=128)] = ""
    deployment_name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    tags: Annotated[dict[str, str], Field(max_length=5)] = {}
    github_repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-_]{1,100}$")] | None = None
    return_records: bool = True


class RequiredCheck(Body):
    """A check that must pass."""

    context: str
    app_id: int | None = None


class RequiredChecks(Body):
    """The checks that must pass. GitHub wants ``contexts`` although ``checks`` are newer."""

    strict: bool
    contexts: list[str]
    checks: list[RequiredCheck] | None = None


class ChangedRequiredChecks(Body):
    """What changes of the checks that must pass."""

    strict: bool | None = None
    contexts: list[str] | None = None
    checks: list[RequiredCheck] | None = None


class RequiredReviews(Body):
    """The reviews that are needed."""

    dismiss_stale_reviews: bool = False
    require_code_owner_reviews: bool = False
    required_approving_review_count: Annotated[int, Field(ge=0, le=6)] = 1
    require_last_push_approval: bool = False


class Protection(Body):
    """What protects a branch. The first four must be there."""

    required_status_checks: RequiredChecks | None
    enforce_admins: bool | None
    required_pull_request_reviews: RequiredReviews | None
    restrictions: dict[str, list[str]] | None
    required_linear_history: bool = False
    allow_force_pushes: bool | None = False
    allow_deletions: bool = False
    block_creations: bool = False
    required_conversation_resolution: bool = False
    lock_branch: bool = False
    allow_fork_syncing: bool = False


class ActionsPermissions(Body):
    """Whether workflows run, and which actions."""

    enabled: bool
    allowed_actions: Literal["all", "local_only", "selected"] | None = None
    sha_pinning_required: bool = False


class WorkflowPermissions(Body):
    """What the token of a workflow may do."""

    default_workflow_permissions: Literal["read", "write"] | None = None
    can_approve_pull_request_reviews: bool | None = None


class EncryptedSecret(Body):
    """A secret, encrypted for the repository's key."""

    encrypted_value: Annotated[str, StringConstraints(min_length=64)]
    key_id: str


class Variable(Body):
    """A variable."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: str


class HookConfig(Body):
    """Where a webhook goes."""

    url: Url
    content_type: Literal["json"] = "json"
    secret: str = ""
    insecure_ssl: str | float = "0"


class NewHook(Body):
    """A webhook."""

    name: Literal["web"] = "web"
    config: HookConfig
    events: list[str] = ["push"]
    active: bool = True


class WorkflowDispatch(Body):
    """A workflow to start."""

    ref: str
    inputs: Annotated[dict[str, Any], Field(max_length=25)] = {}
    return_run_details: bool = False


class RepositoryDispatch(Body):
    """An event to start workflows with."""

    event_type: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    client_payload: Annotated[dict[str, Any], Field(max_length=10)] = {}
