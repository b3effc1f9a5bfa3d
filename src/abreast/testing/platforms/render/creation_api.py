"""POST /services: a service that is created over the API, from the repository or the image of another one."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.render.answers import CONTAINERS, service_json
from abreast.testing.platforms.render.bodies import DockerCommands, LanguageCommands, NewService, NewServiceDetails
from abreast.testing.platforms.render.configuration_api import variable_value
from abreast.testing.platforms.render.deploy_engine import DeployEngine
from abreast.testing.platforms.render.requests import ApiError, not_emulated, read_body
from abreast.testing.platforms.render.service import OWNER_ID, Service, ServiceKind, image_name, new_id
from abreast.testing.platforms.render.service_api import PAID_PLANS, PLANS, cron_expression
from abreast.testing.platforms.render.state import State, base_url

_COMMON = {"runtime", "env", "env_specific_details", "plan", "region"}
_RUNNING = _COMMON | {
    "autoscaling", "disk", "num_instances", "pre_deploy_command", "pull_request_previews_enabled", "previews",
    "max_shutdown_delay_seconds",
}  # fmt: skip
_DETAILS = {
    ServiceKind.WEB: _RUNNING | {"health_check_path", "maintenance_mode", "render_subdomain_policy", "ip_allow_list"},
    ServiceKind.PRIVATE: _RUNNING,
    ServiceKind.WORKER: _RUNNING,
    ServiceKind.CRON: _COMMON | {"schedule"},
    ServiceKind.STATIC: {
        "build_command", "publish_path", "headers", "routes", "pull_request_previews_enabled", "previews",
        "render_subdomain_policy", "ip_allow_list",
    },
}  # fmt: skip
"""What each kind of service has."""

_NOT_EMULATED = (
    "autoscaling", "disk", "maintenance_mode", "previews", "pull_request_previews_enabled", "render_subdomain_policy",
    "headers", "routes",
)  # fmt: skip


class CreationApi:
    """The route that creates services."""

    def __init__(self, state: State, engine: DeployEngine) -> None:
        self._state = state
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/v1/services", self._create, methods=["POST"])]

    async def _create(self, request: Request) -> Response:
        body = await read_body(request, NewService)
        service = self._new_service(body)
        commit, image = self._engine.default_source(service)
        if body.image:
            commit, image = service.images.get(body.image.image_path, ""), body.image.image_path
        self._state.services[service.id] = service
        deploy = self._engine.start_deploy(service, commit, "new_commit", image)
        return JSONResponse({"service": service_json(base_url(request), service), "deployId": deploy.id}, 201)

    def _new_service(self, body: NewService) -> Service:
        """Return the service. Raises ApiError for what Render refuses, and for what the emulator does not have."""
        if body.owner_id != OWNER_ID:
            raise ApiError(400, "unknown ownerId")
        if any(service.name == body.name for service in self._state.services.values()):
            raise ApiError(409, f"the name {body.name} is taken")
        for name in ("auto_deploy_trigger", "build_filter", "environment_id"):
            _require_emulated(getattr(body, name), name)
        kind, details = ServiceKind(body.type), body.service_details or NewServiceDetails()
        _check_details(kind, details)
        commands = details.env_specific_details
        service = Service(
            new_id("crn" if kind is ServiceKind.CRON else "srv"),
            body.name,
            self._repository(body),
            _start_command(details),
            details.health_check_path or "/",
            kind,
            schedule=cron_expression(details.schedule) if details.schedule else "",
            publish_path=details.publish_path or "public",
            auto_deploy=body.auto_deploy,
            branch=body.branch,
            instances=details.num_instances or 1,
            pre_deploy=details.pre_deploy_command or "",
            env={variable.key: variable_value(variable) for variable in body.env_vars},
            secret_files={file.name: file.content for file in body.secret_files},
            runtime=details.runtime or "docker",
            build_command=commands.build_command if isinstance(commands, LanguageCommands) else "",
            root_dir=body.root_dir,
            plan=details.plan or "starter",
            region=details.region or "oregon",
            shutdown_delay=details.max_shutdown_delay_seconds,
        )
        if details.ip_allow_list is not None:
            service.ip_allow_list = [block.model_dump(by_alias=True) for block in details.ip_allow_list]
        if body.image:
            service.image_path = image_name(body.image.image_path)
            service.images = self._source_of_image(service.image_path).images
        return service

    def _repository(self, body: NewService) -> Path:
        if (body.repo is None) == (body.image is None):
            raise ApiError(400, "needed: repo or image")
        if body.image:
            if body.image.owner_id != body.owner_id or body.image.registry_credential_id:
                raise ApiError(400, "image: unknown ownerId or registryCredentialId")
            return self._source_of_image(image_name(body.image.image_path)).repo
        found = [one.repo for one in self._state.services.values() if one.repo_url == body.repo and not one.image_path]
        if not found:
            raise ApiError(400, f"repo: Render has no access to {body.repo}")
        return found[0]

    def _source_of_image(self, name: str) -> Service:
        found = [one for one in self._state.services.values() if one.image_path == name]
        if not found:
            raise ApiError(400, f"image: cannot be pulled: {name}")
        return found[0]


def _check_details(kind: ServiceKind, details: NewServiceDetails) -> None:
    """Raise ApiError for details that a kind of service does not have, or lacks."""
    if unknown := details.model_fields_set - _DETAILS[kind]:
        raise ApiError(400, f"serviceDetails: a {kind} has no {', '.join(sorted(unknown))}")
    for name in _NOT_EMULATED:
        _require_emulated(getattr(details, name), f"serviceDetails.{name}")
    if kind is ServiceKind.STATIC:
        return
    if details.runtime is None:
        raise ApiError(400, "serviceDetails.runtime is missing")
    if kind is ServiceKind.CRON and details.schedule is None:
        raise ApiError(400, "serviceDetails.schedule is missing")
    if details.plan not in {None, *(PLANS if kind is ServiceKind.WEB else PAID_PLANS)}:
        raise ApiError(400, f"serviceDetails.plan: a {kind} has no plan {details.plan}")
    expected = DockerCommands if details.runtime in CONTAINERS else LanguageCommands
    if not isinstance(details.env_specific_details, expected):
        raise ApiError(400, f"serviceDetails.envSpecificDetails do not fit the runtime {details.runtime}")


def _start_command(details: NewServiceDetails) -> str:
    commands = details.env_specific_details
    if isinstance(commands, DockerCommands):
        return commands.docker_command
    return commands.start_command if commands else details.build_command or ""


def _require_emulated(value: object, name: str) -> None:
    if value is not None:
        raise not_emulated(f"a new service with {name}")
