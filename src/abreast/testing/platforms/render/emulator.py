"""The emulator: one application of all routes, and what tests read and change."""

from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abreast.machine.tls import ssl_context
from abreast.testing.platforms.common import require_token
from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.render.configuration_api import ConfigurationApi
from abreast.testing.platforms.render.creation_api import CreationApi
from abreast.testing.platforms.render.cron_api import CronApi
from abreast.testing.platforms.render.deploy_api import DeployApi
from abreast.testing.platforms.render.deploy_engine import DeployEngine, DeploySettings
from abreast.testing.platforms.render.log_api import LogApi
from abreast.testing.platforms.render.rate_limits import RateLimits
from abreast.testing.platforms.render.requests import ApiError, error_response
from abreast.testing.platforms.render.service import EnvGroup, Service, ServiceKind
from abreast.testing.platforms.render.service_api import ServiceApi
from abreast.testing.platforms.render.state import State
from abreast.testing.platforms.service_process import ServiceProcess, proxy_to_process

TOKEN = "render-key"  # noqa: S105 (the emulator's own)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class RenderEmulator(DeploySettings):
    """Serve ``app`` with ``ThreadedServer``. What Render can do and the emulator cannot is answered with 501.

    Tests read and change ``services``, ``env_groups``, ``faults.planned``, ``rate_limits.enforced`` and the inherited
    settings.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._state = State()
        self.services = self._state.services
        self.env_groups = self._state.env_groups
        self.rate_limits = RateLimits()
        self._engine = DeployEngine(folder, self.env_groups, self)
        self._cron = CronApi(self._state, self._engine)
        routes = [
            *ServiceApi(self._state, self._engine).routes(),
            *CreationApi(self._state, self._engine).routes(),
            *DeployApi(self._state, self._engine, self).routes(),
            *ConfigurationApi(self._state).routes(),
            *self._cron.routes(),
            *LogApi(self._state).routes(),
            Route("/r/{name}", self._serve, methods=METHODS),
            Route("/r/{name}/{path:path}", self._serve, methods=METHODS),
        ]
        handlers = {KeyError: _not_found, ApiError: _refused}
        application = Starlette(routes=routes, exception_handlers={**handlers, 404: _unknown, 405: _unknown})
        self.faults = FaultInjector(_Gate(application, self.rate_limits))
        self.app = self.faults

    def add_service(
        self, name: str, repo: Path, command: str, health_path: str = "/", kind: ServiceKind = ServiceKind.WEB
    ) -> Service:
        """Add a service without a deploy."""
        prefix = "crn" if kind is ServiceKind.CRON else "srv"
        service = Service(f"{prefix}-{name}", name, repo, command, health_path, kind)
        self.services[service.id] = service
        return service

    def add_env_group(self, name: str, *services: Service, **env: str) -> EnvGroup:
        """Add an environment group that is linked to services."""
        group = EnvGroup(name, dict(env), service_ids=[service.id for service in services])
        self.env_groups[group.id] = group
        return group

    def close(self) -> None:
        """Stop all processes."""
        self._cron.close()
        for service in self.services.values():
            if service.live_process:
                service.live_process.stop()

    async def _serve(self, request: Request) -> Response:
        """Answer as the service's public address does. Private services, workers and cron jobs have none."""
        found = [each for each in self.services.values() if each.name == request.path_params["name"]]
        if not found or not found[0].is_public:
            return Response("no such address", 404)
        service = found[0]
        for deploy in [deploy for deploy in service.deploys if deploy.trigger == "deploy_hook"]:
            await self._engine.advance(service, deploy)
        if service.in_maintenance:
            return await _serve_maintenance(service.maintenance_uri)
        if service.kind is ServiceKind.STATIC:
            return await _serve_file(request, service)
        process = service.live_process
        return await proxy_to_process(request, process if isinstance(process, ServiceProcess) else None)


async def _serve_maintenance(uri: str) -> Response:
    """Answer with the maintenance page of a URL, with its status if that is an error, or with Render's own."""
    if not uri:
        return Response("<h1>Down for maintenance</h1>", 503, media_type="text/html")
    async with httpx2.AsyncClient(timeout=5, verify=ssl_context()) as client:
        page = await client.get(uri)
    return Response(page.content, page.status_code if page.is_error else 503, media_type=page.headers["content-type"])


async def _serve_file(request: Request, service: Service) -> Response:
    if service.live_folder is None:
        return Response("no live deploy", 503)
    files = StaticFiles(directory=service.live_folder / service.publish_path, html=True)
    return await files.get_response(request.path_params.get("path") or ".", request.scope)


class _Gate:
    """Middleware before the API: a token, and the rate limits."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(("/v1/", "/deploy/")):
            await self._app(scope, receive, send)
            return
        refused, headers = self._limits.count(scope["method"], scope["path"])

        async def send_limited(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        response = error_response(429, "rate limit exceeded") if refused else self._unauthorized(scope)
        await (response or self._app)(scope, receive, send_limited)

    def _unauthorized(self, scope: Scope) -> Response | None:
        try:
            if scope["path"].startswith("/v1/"):
                require_token(Request(scope), TOKEN)
        except PermissionError:
            return error_response(401, "unauthorized")
        return None


async def _not_found(_: Request, __: Exception) -> Response:
    return error_response(404, "not found")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error.status, error.message)


async def _unknown(request: Request, _: Exception) -> Response:
    if not request.url.path.startswith("/v1/"):
        return Response("not found", 404)
    return error_response(501, f"not emulated: {request.method} {request.url.path}")
