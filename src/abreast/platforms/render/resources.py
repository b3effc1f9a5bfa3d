"""What Render's API answers, as far as abreast reads it."""

from enum import StrEnum
from typing import Generic, TypeVar

from pydantic import AliasChoices, BaseModel, Field

M = TypeVar("M", bound=BaseModel)

IN_PROGRESS = frozenset({"created", "queued", "build_in_progress", "pre_deploy_in_progress", "update_in_progress"})
FAILED = frozenset({"build_failed", "pre_deploy_failed", "update_failed", "canceled"})


class ServiceType(StrEnum):
    """The kind of a service."""

    WEB = "web_service"
    PRIVATE = "private_service"
    WORKER = "background_worker"
    STATIC = "static_site"
    CRON = "cron_job"

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return self.value.replace("_", " ")


class Commit(BaseModel):
    """The commit of a deploy."""

    id: str | None = None


class Image(BaseModel):
    """The image of a deploy, if it has no commit."""

    ref: str | None = None


class Deploy(BaseModel):
    """A deploy of a service."""

    id: str
    status: str
    commit: Commit | None = None
    image: Image | None = None
    trigger: str | None = None
    created_at: str | None = Field(None, alias="createdAt")
    finished_at: str | None = Field(None, alias="finishedAt")

    @property
    def source(self) -> str:
        """The image or the commit that was deployed."""
        return (self.image.ref if self.image else None) or (self.commit.id if self.commit else None) or ""


class Disk(BaseModel):
    """A service's disk."""

    name: str = ""


class Criterion(BaseModel):
    """When autoscaling adds instances."""

    enabled: bool
    percentage: int


class Criteria(BaseModel):
    """Both criteria of autoscaling."""

    cpu: Criterion
    memory: Criterion


class Autoscaling(BaseModel):
    """How many instances Render starts by itself. While it is on, ``numInstances`` is ignored."""

    enabled: bool
    min: int
    max: int
    criteria: Criteria

    def __str__(self) -> str:
        return f"{self.min} to {self.max} instances" if self.enabled else "off"


class RegistryCredential(BaseModel):
    """What an image is pulled with."""

    id: str


class EnvSpecificDetails(BaseModel):
    """The details that depend on the runtime: of a Dockerfile or an image, or of a language."""

    pre_deploy: str | None = Field(None, alias="preDeployCommand")
    build_command: str | None = Field(None, alias="buildCommand")
    start_command: str | None = Field(None, alias="startCommand")
    docker_command: str | None = Field(None, alias="dockerCommand")
    docker_context: str | None = Field(None, alias="dockerContext")
    dockerfile_path: str | None = Field(None, alias="dockerfilePath")
    registry_credential: RegistryCredential | None = Field(None, alias="registryCredential")


class MaintenanceMode(BaseModel):
    """Whether users get a page instead of a web service: that of ``uri``, or Render's if it is ""."""

    enabled: bool = False
    uri: str = ""


class ServiceDetails(BaseModel):
    """The details that depend on a service's type."""

    url: str | None = None
    runtime: str | None = None
    plan: str | None = None
    region: str | None = None
    shutdown_delay: int | None = Field(None, alias="maxShutdownDelaySeconds")
    ip_allow_list: list[dict[str, str]] | None = Field(None, alias="ipAllowList")
    build_command: str | None = Field(None, alias="buildCommand")
    publish_path: str | None = Field(None, alias="publishPath")
    disk: Disk | None = None
    instances: int | None = Field(None, alias="numInstances")
    autoscaling: Autoscaling | None = None
    schedule: str | None = None
    env_specific: EnvSpecificDetails = Field(default_factory=EnvSpecificDetails, alias="envSpecificDetails")
    health_check_path: str | None = Field(None, alias="healthCheckPath")
    maintenance: MaintenanceMode | None = Field(None, alias="maintenanceMode")


class RenderService(BaseModel):
    """A service."""

    id: str
    name: str
    type: ServiceType
    owner_id: str = Field("", alias="ownerId")
    repo: str | None = None
    branch: str | None = None
    root_dir: str = Field("", alias="rootDir")
    image_path: str | None = Field(None, alias="imagePath")
    registry_credential: RegistryCredential | None = Field(None, alias="registryCredential")
    auto_deploy: str = Field("no", alias="autoDeploy")
    suspended: str = "not_suspended"
    suspenders: list[str] = Field(default_factory=list)
    dashboard_url: str = Field("", alias="dashboardUrl")
    details: ServiceDetails = Field(default_factory=ServiceDetails, alias="serviceDetails")

    @property
    def is_suspended(self) -> bool:
        """Whether anyone suspended it."""
        return self.suspended != "not_suspended"

    @property
    def address(self) -> str:
        """Where users reach it, "" if nobody outside of Render can."""
        public = self.type in {ServiceType.WEB, ServiceType.STATIC}
        return (self.details.url or "").rstrip("/") if public else ""

    def is_in(self, mode: MaintenanceMode) -> bool:
        """Return whether its maintenance mode is this one. The page does not matter where it is off."""
        current = self.details.maintenance or MaintenanceMode()
        return current == mode if mode.enabled else not current.enabled

    @property
    def autoscales(self) -> bool:
        """Whether autoscaling is on."""
        return bool(self.details.autoscaling and self.details.autoscaling.enabled)


class CreatedService(BaseModel):
    """A service that was created, and its first deploy, which Render starts at once."""

    service: RenderService
    deploy: str = Field("", alias="deployId")


class Instance(BaseModel):
    """A running instance."""

    id: str


class FailureReason(BaseModel):
    """Why an instance ended."""

    non_zero_exit: int | None = Field(None, alias="nonZeroExit")
    early_exit: bool = Field(False, alias="earlyExit")
    oom_killed: dict[str, str] | None = Field(None, alias="oomKilled")
    unhealthy: str | None = None

    def __str__(self) -> str:
        if self.non_zero_exit is not None:
            return f"exit code {self.non_zero_exit}"
        if self.oom_killed is not None:
            return "out of memory"
        return self.unhealthy or ("exited early" if self.early_exit else "ended")


class ServerFailed(BaseModel):
    """The details of an instance that ended."""

    reason: FailureReason = Field(default_factory=lambda: FailureReason.model_validate({}))


class FailureEvent(BaseModel):
    """The event of an instance that ended."""

    id: str
    timestamp: str
    details: ServerFailed


class Job(BaseModel):
    """A one-off command in the live build."""

    id: str
    command: str = Field("", alias="startCommand")
    status: str = "pending"
    created_at: str = Field("", alias="createdAt")


class Listed(BaseModel, Generic[M]):
    """An item of a list, beside the cursor of what follows it."""

    cursor: str = ""
    item: M = Field(validation_alias=AliasChoices("deploy", "job", "event", "envVar", "secretFile", "service"))


class Variable(BaseModel):
    """A variable of a service or a group."""

    key: str
    value: str = ""


class SecretFile(BaseModel):
    """A secret file of a service."""

    name: str
    content: str = ""


class ServiceLink(BaseModel):
    """A service that an environment group is linked to."""

    id: str


class EnvGroup(BaseModel):
    """An environment group; a list of groups has no variables."""

    id: str
    name: str
    links: list[ServiceLink] = Field(default_factory=list, alias="serviceLinks")
    variables: list[Variable] = Field(default_factory=list, alias="envVars")
    files: list[SecretFile] = Field(default_factory=list, alias="secretFiles")


class LogLine(BaseModel):
    """A line of a log."""

    id: str
    message: str
    timestamp: str


class LogPage(BaseModel):
    """Lines of a log, newest first, and the time before which there are more."""

    logs: list[LogLine] = Field(default_factory=list)
    has_more: bool = Field(False, alias="hasMore")
    next_end_time: str = Field("", alias="nextEndTime")
