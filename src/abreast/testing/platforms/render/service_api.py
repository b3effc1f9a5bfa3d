"""Services: list, change, suspend, scale, restart, instances and events."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.render.answers import event_json, owner_json, service_json
from abreast.testing.platforms.render.bodies import (
    Autoscaling,
    MaintenanceMode,
    Scale,
    ServiceDetails,
    UpdateService,
)
from abreast.testing.platforms.render.deploy_engine import DeployEngine
from abreast.testing.platforms.render.requests import (
    ApiError,
    not_emulated,
    page,
    read_body,
    require_known_query,
    selected,
    within,
    wrapped,
)
from abreast.testing.platforms.render.service import OWNER_ID, Service, ServiceKind
from abreast.testing.platforms.render.state import State, base_url

CRON_FIELDS = 5
_RUNNING = frozenset({ServiceKind.WEB, ServiceKind.PRIVATE, ServiceKind.WORKER})
PAID_PLANS = frozenset({"starter", "standard", "pro", "pro_plus", "pro_max", "pro_ultra"})
"""The plans of services that have no free one."""

PLANS = PAID_PLANS | {"starter_plus", "standard_plus", "free"}
"""The plans that a web service can have; a custom one is agreed with Render."""

_DETAILS = {
    ServiceKind.WEB: {
        "health_check_path", "pre_deploy_command", "env_specific_details", "maintenance_mode", "plan", "runtime",
        "pull_request_previews_enabled", "previews", "max_shutdown_delay_seconds", "render_subdomain_policy",
        "ip_allow_list", "cache",
    },
    ServiceKind.PRIVATE: {
        "pre_deploy_command", "env_specific_details", "plan", "runtime", "pull_request_previews_enabled", "previews",
        "max_shutdown_delay_seconds",
    },
    ServiceKind.STATIC: {
        "build_command", "publish_path", "pull_request_previews_enabled", "previews", "render_subdomain_policy",
        "ip_allow_list",
    },
    ServiceKind.CRON: {"env_specific_details", "plan", "schedule", "runtime"},
}  # fmt: skip
_DETAILS[ServiceKind.WORKER] = _DETAILS[ServiceKind.PRIVATE]
"""What PATCH may change of each kind of service."""


class ServiceApi:
    """The routes below /services that change or show a service itself."""

    def __init__(self, state: State, engine: DeployEngine) -> None:
        self._state = state
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/owners", self._list_owners, methods=["GET"]),
            Route("/v1/owners/{owner}", self._get_owner, methods=["GET"]),
            Route("/v1/users", self._get_user, methods=["GET"]),
            Route("/v1/services", self._list_services, methods=["GET"]),
            Route("/v1/services/{service}", self._get_service, methods=["GET"]),
            Route("/v1/services/{service}", self._update_service, methods=["PATCH"]),
            Route("/v1/services/{service}", self._delete_service, methods=["DELETE"]),
            Route("/v1/services/{service}/suspend", self._suspend, methods=["POST"]),
            Route("/v1/services/{service}/resume", self._resume, methods=["POST"]),
            Route("/v1/services/{service}/restart", self._restart, methods=["POST"]),
            Route("/v1/services/{service}/scale", self._scale, methods=["POST"]),
            Route("/v1/services/{service}/autoscaling", self._set_autoscaling, methods=["PUT"]),
            Route("/v1/services/{service}/autoscaling", self._delete_autoscaling, methods=["DELETE"]),
            Route("/v1/services/{service}/instances", self._list_instances, methods=["GET"]),
            Route("/v1/services/{service}/events", self._list_events, methods=["GET"]),
            Route("/v1/events/{event}", self._get_event, methods=["GET"]),
        ]

    async def _list_owners(self, request: Request) -> Response:
        require_known_query(request, "name", "email", "cursor", "limit")
        owners = [owner_json()] if _matches(request, owner_json(), "name", "email") else []
        return JSONResponse(wrapped("owner", page(request, owners, _id)))

    async def _get_owner(self, request: Request) -> Response:
        if request.path_params["owner"] != OWNER_ID:
            raise KeyError(request.path_params["owner"])
        return JSONResponse(owner_json())

    async def _get_user(self, _: Request) -> Response:
        return JSONResponse({"id": "usr-emulated", "email": owner_json()["email"], "name": "Emulated"})

    async def _list_services(self, request: Request) -> Response:
        times = ("createdBefore", "createdAfter", "updatedBefore", "updatedAfter")
        filters = ("name", "type", "environmentId", "env", "region", "suspended", "ownerId", "includePreviews")
        require_known_query(request, *filters, *times, "cursor", "limit")
        found = [
            answer
            for service in self._state.services.values()
            if _is_listed(request, answer := service_json(base_url(request), service))
        ]
        return JSONResponse(wrapped("service", page(request, found, _id)))

    async def _get_service(self, request: Request) -> Response:
        return JSONResponse(service_json(base_url(request), self._state.service(request)))

    async def _update_service(self, request: Request) -> Response:
        service, body = self._state.service(request), await read_body(request, UpdateService)
        for name in ("auto_deploy_trigger", "build_source_id", "repo", "build_filter", "root_dir", "image"):
            _require_emulated(getattr(body, name), name)
        if body.service_details:
            _update_details(service, body.service_details, f"{base_url(request)}/r/{service.name}")
        service.auto_deploy = body.auto_deploy or service.auto_deploy
        service.name = body.name or service.name
        service.branch = body.branch or service.branch
        return JSONResponse(service_json(base_url(request), service))

    async def _delete_service(self, request: Request) -> Response:
        service = self._state.service(request)
        await self._engine.stop(service)
        del self._state.services[service.id]
        return Response(status_code=204)

    async def _suspend(self, request: Request) -> Response:
        service = self._state.service(request)
        if not service.is_suspended:
            service.record("service_suspended")
        service.suspenders = sorted({*service.suspenders, "user"})
        await self._engine.stop(service)
        return Response(status_code=202)

    async def _resume(self, request: Request) -> Response:
        service = self._state.service(request)
        if set(service.suspenders) - {"user"}:
            raise ApiError(400, f"suspended by {', '.join(service.suspenders)}")
        if service.is_suspended:
            service.suspenders = []
            service.record("service_resumed")
            commit, image = self._engine.default_source(service)
            self._engine.start_deploy(service, commit, "service_resumed", image)
        return Response(status_code=202)

    async def _restart(self, request: Request) -> Response:
        service = self._running(request)
        await self._engine.restart(service)
        service.record("server_restarted", triggeredByUser=None)
        return Response(status_code=200)

    async def _scale(self, request: Request) -> Response:
        """Scale it. Render ignores the number while autoscaling is on."""
        service, body = self._running(request), await read_body(request, Scale)
        if service.has_disk and body.num_instances > 1:
            raise ApiError(400, "a service with a disk has one instance")
        if not (service.autoscaling and service.autoscaling["enabled"]):
            service.record("instance_count_changed", fromInstances=service.instances, toInstances=body.num_instances)
            service.instances = body.num_instances
        return Response(status_code=202)

    async def _set_autoscaling(self, request: Request) -> Response:
        service, body = self._running(request), await read_body(request, Autoscaling)
        if body.min > body.max or service.has_disk:
            raise ApiError(400, "min is above max" if body.min > body.max else "a service with a disk has one instance")
        before = {"fromConfig": service.autoscaling} if service.autoscaling else {}
        service.autoscaling = body.model_dump()
        service.record("autoscaling_config_changed", toConfig=service.autoscaling, **before)
        return JSONResponse(service.autoscaling)

    async def _delete_autoscaling(self, request: Request) -> Response:
        self._running(request).autoscaling = None
        return Response(status_code=204)

    async def _list_instances(self, request: Request) -> Response:
        service = self._state.service(request)
        await self._engine.restart_if_ended(service)
        count = service.instances
        if service.autoscaling and service.autoscaling["enabled"]:
            count = service.autoscaling["min"]
        live = service.live_deploy
        if service.live_process is None or live is None:
            count = 0
        since = (live and live.finished_at) or service.created_at
        return JSONResponse([{"id": f"{service.id}-{number:05}", "createdAt": since} for number in range(count)])

    async def _list_events(self, request: Request) -> Response:
        service = self._state.service(request)
        require_known_query(request, "type", "startTime", "endTime", "cursor", "limit")
        await self._engine.restart_if_ended(service)
        found = [
            event_json(service, event)
            for event in reversed(service.events)
            if selected(request, "type", event.type) and within(request, ("startTime", "endTime"), event.timestamp)
        ]
        return JSONResponse(wrapped("event", page(request, found, _id)))

    async def _get_event(self, request: Request) -> Response:
        wanted = request.path_params["event"]
        found = [
            event_json(service, event)
            for service in self._state.services.values()
            for event in service.events
            if event.id == wanted
        ]
        if not found:
            raise KeyError(wanted)
        return JSONResponse(found[0])

    def _running(self, request: Request) -> Service:
        """Return the service in the path. Raises ApiError(400) for one of a kind that has no instances."""
        service = self._state.service(request)
        if service.kind not in _RUNNING:
            raise ApiError(400, f"a {service.kind} has no instances")
        return service


def _update_details(service: Service, details: ServiceDetails, address: str) -> None:
    """Change the details of a service at an address. Raises ApiError(400) for what its kind does not have."""
    if unknown := details.model_fields_set - _DETAILS[service.kind]:
        raise ApiError(400, f"serviceDetails: a {service.kind} has no {', '.join(sorted(unknown))}")
    changes: dict[str, Callable[[Any], Any]] = {
        "maintenance_mode": lambda mode: _set_maintenance(service, mode, address),
        "pre_deploy_command": lambda text: setattr(service, "pre_deploy", text),
        "health_check_path": lambda text: setattr(service, "health_path", text),
        "schedule": lambda text: setattr(service, "schedule", cron_expression(text)),
        "build_command": lambda text: setattr(service, "command", text),
        "publish_path": lambda text: setattr(service, "publish_path", text),
        "plan": lambda text: setattr(service, "plan", _plan(service, text)),
    }
    for name in sorted(details.model_fields_set):
        _require_emulated(None if name in changes else name, f"serviceDetails.{name}")
        changes[name](getattr(details, name))


def _set_maintenance(service: Service, mode: MaintenanceMode, address: str) -> None:
    """Turn maintenance mode on or off. Raises ApiError(400) for a free service, and for a page of its own."""
    if service.plan == "free":
        raise ApiError(400, "maintenance mode is available only for paid web services")
    if mode.uri.startswith(address):
        raise ApiError(400, "the maintenance page must not be a URL of the service in maintenance mode")
    if mode.enabled != service.in_maintenance:
        service.record("maintenance_mode_enabled", enabled=mode.enabled)
    if mode.uri != service.maintenance_uri:
        service.record("maintenance_mode_uri_updated", fromURI=service.maintenance_uri, toURI=mode.uri)
    service.in_maintenance, service.maintenance_uri = mode.enabled, mode.uri


def _plan(service: Service, plan: str) -> str:
    """Return a plan that a service may get. Raises ApiError(400) for one that its kind does not have."""
    if plan not in (PLANS if service.kind is ServiceKind.WEB else PAID_PLANS):
        raise ApiError(400, f"serviceDetails.plan: a {service.kind} has no plan {plan}")
    if plan == "free" and (service.has_disk or service.instances > 1):
        raise ApiError(400, "serviceDetails.plan: the free plan has one instance and no disk")
    return plan


def cron_expression(text: str) -> str:
    """Return a cron expression of five fields. Raises ApiError(400) for anything else."""
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError as error:
        raise ApiError(400, f"serviceDetails.schedule: {error}") from None
    if len(text.split()) != CRON_FIELDS:
        raise ApiError(400, "serviceDetails.schedule: a cron expression has five fields")
    return text


def _require_emulated(value: object, name: str) -> None:
    if value is not None:
        raise not_emulated(f"a change of {name}")


def _is_listed(request: Request, service: dict[str, Any]) -> bool:
    details = service["serviceDetails"]
    return (
        _matches(request, service, "name", "suspended", "ownerId", "environmentId")
        and selected(request, "type", service["type"], tuple(ServiceKind))
        and _matches(request, details, "env", "region")
        and within(request, ("createdAfter", "createdBefore"), service["createdAt"])
        and within(request, ("updatedAfter", "updatedBefore"), service["updatedAt"])
    )


def _matches(request: Request, answer: dict[str, Any], *names: str) -> bool:
    return all(selected(request, name, answer.get(name, "")) for name in names)


def _id(answer: dict[str, Any]) -> str:
    return str(answer["id"])
