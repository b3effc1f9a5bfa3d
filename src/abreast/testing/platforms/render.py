"""Render's API, emulated: deploys, rollback, cancel, logs. The services run as local processes."""

import asyncio
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.common import require_token, utc_timestamp
from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.service_process import ServiceProcess, proxy_to_process

TOKEN = "render-key"  # noqa: S105 (the emulator's own)
IN_PROGRESS = frozenset({"build_in_progress", "pre_deploy_in_progress", "update_in_progress"})
HOOK_KEY = "render-hook"
"""The ``key`` in the address of a deploy hook."""

OWNER_ID = "tea-emulated"


@dataclass
class Deploy:
    """A deploy. It cannot be live before ``done_at`` (monotonic)."""

    id: str
    commit: str
    trigger: str
    image: str = ""
    status: str = "created"
    created_at: str = field(default_factory=utc_timestamp)
    done_at: float = 0.0


@dataclass
class Job:
    """A one-off job."""

    id: str
    command: str
    status: str = "pending"
    created_at: str = field(default_factory=utc_timestamp)


@dataclass
class Service:
    """A service: ``command`` runs in a checkout of ``repo``, and users reach ``live_process``.

    ``images`` maps image references to commits. ``jobs`` and ``deploys`` are in order of creation.
    """

    id: str
    name: str
    repo: Path
    command: str
    health_path: str
    auto_deploy: str = "yes"
    has_disk: bool = False
    suspenders: list[str] = field(default_factory=list)
    instances: int = 1
    pre_deploy: str = ""
    images: dict[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    deploys: list[Deploy] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    live_process: ServiceProcess | None = None
    log: list[str] = field(default_factory=list)


class RenderEmulator:
    """Serve ``app`` with ``ThreadedServer``. Tests read and change ``services``, ``faults.planned`` and the settings.

    A deploy advances by one status each time it is polled, so tests need not wait. ``queues_deploys``: a new deploy
    gets 202 without a body. ``build_error``: builds fail, with this line in the log. ``stuck_state``: deploys never
    leave this status. ``builds_expired``: earlier builds are deleted, so rollbacks are refused. ``work_seconds``
    returns the time until a deploy can be live.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.services: dict[str, Service] = {}
        self.queues_deploys = False
        self.build_error: str | None = None
        self.stuck_state: str | None = None
        self.builds_expired = False
        self.work_seconds: Callable[[], float] = float
        self._advance_lock = asyncio.Lock()
        self.faults = FaultInjector(Starlette(routes=[
            Route("/v1/services/{service}", self._get_service, methods=["GET"]),
            Route("/v1/services/{service}", self._update_service, methods=["PATCH"]),
            Route("/v1/services/{service}/deploys", self._list_deploys, methods=["GET"]),
            Route("/v1/services/{service}/deploys", self._create_deploy, methods=["POST"]),
            Route("/v1/services/{service}/deploys/{deploy}", self._get_deploy, methods=["GET"]),
            Route("/v1/services/{service}/deploys/{deploy}/cancel", self._cancel_deploy, methods=["POST"]),
            Route("/v1/services/{service}/env-vars", self._list_variables, methods=["GET"]),
            Route("/v1/services/{service}/env-vars/{key}", self._set_variable, methods=["PUT"]),
            Route("/v1/services/{service}/rollback", self._rollback, methods=["POST"]),
            Route("/v1/services/{service}/suspend", self._suspend, methods=["POST"]),
            Route("/v1/services/{service}/resume", self._resume, methods=["POST"]),
            Route("/v1/services/{service}/scale", self._scale, methods=["POST"]),
            Route("/v1/services/{service}/jobs", self._jobs, methods=["GET", "POST"]),
            Route("/v1/services/{service}/jobs/{job}", self._get_job, methods=["GET"]),
            Route("/v1/logs", self._logs, methods=["GET"]),
            Route("/deploy/{service}", self._trigger_hook, methods=["GET", "POST"]),
            Route("/r/{name}/{path:path}", self._proxy),
        ], exception_handlers={KeyError: _not_found_response, PermissionError: _unauthorized_response}))  # fmt: skip
        self.app = self.faults

    def add_service(self, name: str, repo: Path, command: str, health_path: str = "/") -> Service:
        """Add a service without a deploy."""
        service = Service(f"srv-{name}", name, repo, command, health_path)
        self.services[service.id] = service
        return service

    def close(self) -> None:
        """Stop all processes."""
        for service in self.services.values():
            if service.live_process:
                service.live_process.stop()

    # ── API requests ───────────────────────────────────────────────────────────────────────────

    async def _get_service(self, request: Request) -> Response:
        return JSONResponse(self._service_json(request, self._authorized_service(request)))

    async def _update_service(self, request: Request) -> Response:
        service = self._authorized_service(request)
        body = await request.json()
        service.auto_deploy = body.get("autoDeploy", service.auto_deploy)
        service.pre_deploy = body.get("serviceDetails", {}).get("preDeployCommand", service.pre_deploy)
        return JSONResponse(self._service_json(request, service))

    async def _list_deploys(self, request: Request) -> Response:
        service = self._authorized_service(request)
        limit = int(request.query_params.get("limit", 20))
        for deploy in list(service.deploys):
            await self._advance(service, deploy)
        newest = reversed(service.deploys[-limit:])
        return JSONResponse([{"cursor": deploy.id, "deploy": _deploy_json(deploy)} for deploy in newest])

    async def _create_deploy(self, request: Request) -> Response:
        service, body = self._authorized_service(request), await request.json()
        image = body.get("imageUrl", "")
        if image and image not in service.images:
            return JSONResponse({"id": "x", "message": f"no such image: {image}"}, 400)
        commit = service.images.get(image) or body.get("commitId") or _git(service.repo, "rev-parse", "HEAD")
        deploy = self._start_deploy(service, commit, "api", image)
        return Response(status_code=202) if self.queues_deploys else JSONResponse(_deploy_json(deploy), 201)

    async def _get_deploy(self, request: Request) -> Response:
        service = self._authorized_service(request)
        deploy = _find_deploy(service, request.path_params["deploy"])
        await self._advance(service, deploy)
        return JSONResponse(_deploy_json(deploy))

    async def _cancel_deploy(self, request: Request) -> Response:
        deploy = _find_deploy(self._authorized_service(request), request.path_params["deploy"])
        deploy.status = "canceled"
        return JSONResponse(_deploy_json(deploy))

    async def _rollback(self, request: Request) -> Response:
        service = self._authorized_service(request)
        old = _find_deploy(service, (await request.json())["deployId"])
        if self.builds_expired:
            return JSONResponse({"id": "x", "message": "the build of this deploy has expired"}, 400)
        deploy = self._start_deploy(service, old.commit, "rollback", old.image)
        deploy.status = "update_in_progress"
        return JSONResponse(_deploy_json(deploy), 201)

    async def _list_variables(self, request: Request) -> Response:
        variables = self._authorized_service(request).env
        return JSONResponse(
            [{"cursor": key, "envVar": {"key": key, "value": value}} for key, value in variables.items()]
        )

    async def _set_variable(self, request: Request) -> Response:
        key, value = request.path_params["key"], (await request.json())["value"]
        self._authorized_service(request).env[key] = value
        return JSONResponse({"key": key, "value": value})

    async def _suspend(self, request: Request) -> Response:
        service = self._authorized_service(request)
        service.suspenders = ["user"]
        if service.live_process:
            await asyncio.to_thread(service.live_process.stop)
            service.live_process = None
        return Response(status_code=202)

    async def _resume(self, request: Request) -> Response:
        service = self._authorized_service(request)
        service.suspenders = []
        self._start_deploy(service, _git(service.repo, "rev-parse", "HEAD"), "service_resumed")
        return Response(status_code=202)

    async def _scale(self, request: Request) -> Response:
        self._authorized_service(request).instances = (await request.json())["numInstances"]
        return Response(status_code=202)

    async def _jobs(self, request: Request) -> Response:
        service = self._authorized_service(request)
        if request.method == "POST":
            job = Job(f"job-{secrets.token_hex(10)}", (await request.json())["startCommand"])
            service.jobs.append(job)
            return JSONResponse(_job_json(service, job), 201)
        return JSONResponse([{"cursor": job.id, "job": _job_json(service, job)} for job in reversed(service.jobs)])

    async def _get_job(self, request: Request) -> Response:
        """Return a job's status. Each poll advances it; it runs in the live build."""
        service = self._authorized_service(request)
        job = next(job for job in service.jobs if job.id == request.path_params["job"])
        if job.status == "pending":
            job.status = "running"
        elif job.status == "running":
            await asyncio.to_thread(self._run_job, service, job)
        return JSONResponse(_job_json(service, job))

    def _run_job(self, service: Service, job: Job) -> None:
        live = next(deploy for deploy in service.deploys if deploy.status == "live")
        done = self._run_command(service, live.commit, job.command)
        job.status = "failed" if done.returncode else "succeeded"

    def _run_command(self, service: Service, commit: str, command: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "RENDER": "true", "RENDER_GIT_COMMIT": commit, **service.env}
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self._checkout(service, commit), env=env,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        service.log += [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return done

    async def _trigger_hook(self, request: Request) -> Response:
        """Start a deploy, without a token. It advances each time the service itself is requested."""
        service = self.services[request.path_params["service"]]
        if request.query_params.get("key") != HOOK_KEY:
            raise PermissionError
        try:
            commit = _git(service.repo, "rev-parse", "--verify", request.query_params.get("ref", "HEAD") + "^{commit}")
        except subprocess.CalledProcessError:
            return JSONResponse({"message": "no such commit"}, 400)
        deploy = self._start_deploy(service, commit, "deploy_hook")
        return JSONResponse({"deploy": {"id": deploy.id}})

    async def _logs(self, request: Request) -> Response:
        require_token(request, TOKEN)
        service = self.services[request.query_params["resource"]]
        lines = [
            {"id": str(n), "labels": [], "message": text, "timestamp": utc_timestamp()}
            for n, text in enumerate(service.log)
        ]
        now = utc_timestamp()
        return JSONResponse({"hasMore": False, "nextStartTime": now, "nextEndTime": now, "logs": lines[::-1]})

    async def _proxy(self, request: Request) -> Response:
        service = next(each for each in self.services.values() if each.name == request.path_params["name"])
        for deploy in [deploy for deploy in service.deploys if deploy.trigger == "deploy_hook"]:
            await self._advance(service, deploy)
        return await proxy_to_process(request, service.live_process)

    # ── Deploys ────────────────────────────────────────────────────────────────────────────────

    def _start_deploy(self, service: Service, commit: str, trigger: str, image: str = "") -> Deploy:
        for other in service.deploys:
            if other.status in IN_PROGRESS | {"created"}:
                other.status = "canceled"
        deploy = Deploy(
            f"dep-{secrets.token_hex(8)}", commit, trigger, image, done_at=time.monotonic() + self.work_seconds()
        )
        service.deploys.append(deploy)
        return deploy

    async def _advance(self, service: Service, deploy: Deploy) -> None:
        """Advance a deploy by one status, or, where ``work_seconds`` is set, as far as time allows."""
        async with self._advance_lock:
            before = ""
            while deploy.status != before:
                before = deploy.status
                await self._advance_once(service, deploy)
                if self.work_seconds is float:
                    break

    async def _advance_once(self, service: Service, deploy: Deploy) -> None:
        if deploy.status == self.stuck_state or (deploy.status in IN_PROGRESS and time.monotonic() < deploy.done_at):
            return
        if deploy.status == "created":
            deploy.status = "build_in_progress"
        elif deploy.status == "build_in_progress":
            deploy.status = "build_failed" if self.build_error else "update_in_progress"
            service.log += [self.build_error] if self.build_error else []
            if service.pre_deploy and not self.build_error:
                deploy.status = "pre_deploy_in_progress"
        elif deploy.status == "pre_deploy_in_progress":
            done = await asyncio.to_thread(self._run_command, service, deploy.commit, service.pre_deploy)
            if deploy.status == "pre_deploy_in_progress":  # it may have been canceled meanwhile
                deploy.status = "pre_deploy_failed" if done.returncode else "update_in_progress"
        elif deploy.status == "update_in_progress":
            await self._go_live(service, deploy)

    async def _go_live(self, service: Service, deploy: Deploy) -> None:
        """Start the commit, and switch traffic to it once it is healthy."""
        new = await asyncio.to_thread(self._start_process, service, deploy.commit)
        is_healthy = await new.wait_until_healthy(service.health_path)
        if deploy.status != "update_in_progress":  # it was canceled meanwhile
            await asyncio.to_thread(new.stop)
            return
        if not is_healthy:
            await asyncio.to_thread(new.stop)
            deploy.status = "update_failed"
            service.log += [*new.log.read_text().splitlines(), "the health check did not pass"]
            return
        for other in service.deploys:
            if other.status == "live":
                other.status = "deactivated"
        old, service.live_process, deploy.status = service.live_process, new, "live"
        if old:
            await asyncio.to_thread(old.stop)

    def _checkout(self, service: Service, commit: str) -> Path:
        workdir = Path(tempfile.mkdtemp(dir=self._folder))
        archive = subprocess.run(["git", "archive", commit], cwd=service.repo, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x"], cwd=workdir, input=archive, check=True)
        return workdir

    def _start_process(self, service: Service, commit: str) -> ServiceProcess:
        workdir = self._checkout(service, commit)
        env = {"RENDER": "true", "RENDER_GIT_COMMIT": commit, **service.env}
        return ServiceProcess.start(["/bin/sh", "-c", service.command], workdir, env, workdir / ".log")

    def _authorized_service(self, request: Request) -> Service:
        require_token(request, TOKEN)
        return self.services[request.path_params["service"]]

    def _service_json(self, request: Request, service: Service) -> dict[str, Any]:
        base = str(request.base_url).rstrip("/")
        disk = (
            {"disk": {"id": "dsk-00000000000000000000", "name": "data", "sizeGB": 1, "mountPath": "/data"}}
            if service.has_disk
            else {}
        )
        return {
            "id": service.id, "name": service.name, "ownerId": OWNER_ID, "slug": service.name, "type": "web_service",
            "autoDeploy": service.auto_deploy, "branch": "main", "repo": "https://example.org/repo", "rootDir": "",
            "dashboardUrl": f"{base}/dashboard/{service.id}",
            "suspended": "suspended" if service.suspenders else "not_suspended", "suspenders": service.suspenders,
            "notifyOnFail": "default", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            "serviceDetails": {
                "url": f"{base}/r/{service.name}", "env": "docker", "runtime": "docker", "plan": "starter",
                "region": "frankfurt", "numInstances": service.instances,
                "preDeployCommand": service.pre_deploy, "buildPlan": "starter", "healthCheckPath": service.health_path,
                "openPorts": [], "envSpecificDetails": {"dockerCommand": "", "dockerContext": "", "dockerfilePath": ""},
                **disk,
            },
        }  # fmt: skip


def _deploy_json(deploy: Deploy) -> dict[str, Any]:
    return {
        "id": deploy.id, "status": deploy.status, "trigger": deploy.trigger, "createdAt": deploy.created_at,
        "updatedAt": deploy.created_at,
        **({"image": {"ref": deploy.image, "sha": "", "registryCredential": ""}} if deploy.image else
           {"commit": {"id": deploy.commit, "message": "", "createdAt": deploy.created_at}}),
    }  # fmt: skip


def _job_json(service: Service, job: Job) -> dict[str, Any]:
    return {
        "id": job.id, "serviceId": service.id, "startCommand": job.command, "planId": "plan-1",
        "status": job.status, "createdAt": job.created_at,
    }  # fmt: skip


def _find_deploy(service: Service, deploy_id: str) -> Deploy:
    return {deploy.id: deploy for deploy in service.deploys}[deploy_id]


async def _not_found_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"id": "x", "message": "not found"}, 404)


async def _unauthorized_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"id": "x", "message": "unauthorized"}, 401)


def _git(repo: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=repo, check=True, capture_output=True, text=True).stdout.strip()
