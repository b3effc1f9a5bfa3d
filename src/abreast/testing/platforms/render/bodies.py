"""The bodies of requests, as Render's description has them; anything else in them is refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Body(BaseModel):
    """A body with the described fields only, each of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class CreateDeploy(Body):
    """POST /services/{id}/deploys."""

    clear_cache: Literal["clear", "do_not_clear"] | None = None
    commit_id: str | None = None
    image_url: str | None = None
    deploy_mode: Literal["deploy_only", "build_and_deploy"] = "build_and_deploy"
    build_id: str | None = None


class Rollback(Body):
    """POST /services/{id}/rollback."""

    deploy_id: str


class Scale(Body):
    """POST /services/{id}/scale."""

    num_instances: Annotated[int, Field(ge=1, le=100)]


class Criterion(Body):
    """When autoscaling adds instances."""

    enabled: bool
    percentage: Annotated[int, Field(ge=1, le=100)]


class Criteria(Body):
    """Both criteria of autoscaling."""

    cpu: Criterion
    memory: Criterion


class Autoscaling(Body):
    """PUT /services/{id}/autoscaling."""

    enabled: bool
    min: Annotated[int, Field(ge=1, le=100)]
    max: Annotated[int, Field(ge=1, le=100)]
    criteria: Criteria


class StartJob(Body):
    """POST /services/{id}/jobs."""

    start_command: Annotated[str, Field(min_length=1)]
    plan_id: str | None = None


class Value(Body):
    """A variable's value."""

    value: str


class GeneratedValue(Body):
    """A value that Render makes."""

    generate_value: bool


class NamedValue(Value):
    """A variable."""

    key: str


class NamedGeneratedValue(GeneratedValue):
    """A variable whose value Render makes."""

    key: str


class FileContent(Body):
    """The content of a secret file."""

    content: str


class NamedFile(FileContent):
    """A secret file."""

    name: str


class NewEnvGroup(Body):
    """POST /env-groups."""

    name: str
    owner_id: str
    env_vars: list[NamedValue | NamedGeneratedValue]
    secret_files: list[NamedFile] = []
    service_ids: list[str] = []
    environment_id: str | None = None


class EnvGroupName(Body):
    """PATCH /env-groups/{id}."""

    name: str


class MaintenanceMode(Body):
    """``maintenanceMode`` of a web service."""

    enabled: bool
    uri: str


class ServiceDetails(Body):
    """``serviceDetails`` of PATCH /services/{id}; what a kind of service does not have is refused by its kind."""

    health_check_path: str | None = None
    pre_deploy_command: str | None = None
    schedule: str | None = None
    build_command: str | None = None
    publish_path: str | None = None
    env_specific_details: dict[str, str] | None = None
    maintenance_mode: MaintenanceMode | None = None
    plan: str | None = None
    runtime: str | None = None
    pull_request_previews_enabled: Literal["yes", "no"] | None = None
    previews: dict[str, str] | None = None
    max_shutdown_delay_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    render_subdomain_policy: Literal["enabled", "disabled"] | None = None
    ip_allow_list: list[dict[str, str]] | None = None
    cache: dict[str, str] | None = None


Runtime = Literal["docker", "elixir", "go", "node", "python", "ruby", "rust", "image"]


class NewImage(Body):
    """The image of a service that is created."""

    owner_id: str
    image_path: str
    registry_credential_id: str | None = None


class DockerCommands(Body):
    """``envSpecificDetails`` of a container."""

    docker_command: str = ""
    docker_context: str = "."
    dockerfile_path: str = "./Dockerfile"
    registry_credential_id: str | None = None


class LanguageCommands(Body):
    """``envSpecificDetails`` of a language."""

    build_command: str
    start_command: str


class AllowedBlock(Body):
    """Who may reach a service."""

    cidr_block: str
    description: str


class NewServiceDetails(Body):
    """``serviceDetails`` of POST /services; what a kind of service does not have, or needs, is checked by its kind."""

    runtime: Runtime | None = None
    env: Runtime | None = None
    env_specific_details: LanguageCommands | DockerCommands | None = None
    plan: str | None = None
    region: Literal["frankfurt", "oregon", "ohio", "singapore", "virginia"] | None = None
    health_check_path: str | None = None
    pre_deploy_command: str | None = None
    schedule: str | None = None
    build_command: str | None = None
    publish_path: str | None = None
    num_instances: Annotated[int, Field(ge=1)] | None = None
    max_shutdown_delay_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    ip_allow_list: list[AllowedBlock] | None = None
    autoscaling: Autoscaling | None = None
    disk: dict[str, str | int] | None = None
    maintenance_mode: MaintenanceMode | None = None
    pull_request_previews_enabled: Literal["yes", "no"] | None = None
    previews: dict[str, str] | None = None
    render_subdomain_policy: Literal["enabled", "disabled"] | None = None
    headers: list[dict[str, str]] | None = None
    routes: list[dict[str, str | int]] | None = None


class NewService(Body):
    """POST /services."""

    type: Literal["web_service", "private_service", "background_worker", "static_site", "cron_job"]
    name: Annotated[str, Field(min_length=1)]
    owner_id: str
    repo: str | None = None
    auto_deploy: Literal["yes", "no"] = "yes"
    auto_deploy_trigger: Literal["commit", "checksPass", "off"] | None = None
    branch: str = "main"
    image: NewImage | None = None
    build_filter: dict[str, list[str]] | None = None
    root_dir: str = ""
    env_vars: list[NamedValue | NamedGeneratedValue] = []
    secret_files: list[NamedFile] = []
    environment_id: str | None = None
    service_details: NewServiceDetails | None = None


class UpdateService(Body):
    """PATCH /services/{id}."""

    auto_deploy: Literal["yes", "no"] | None = None
    auto_deploy_trigger: Literal["commit", "checksPass", "off"] | None = None
    build_source_id: str | None = None
    repo: str | None = None
    branch: str | None = None
    image: dict[str, str] | None = None
    name: str | None = None
    build_filter: dict[str, list[str]] | None = None
    root_dir: str | None = None
    service_details: ServiceDetails | None = None
