"""Deploys, rollbacks, deploy hooks and one-off jobs."""

import asyncio
import subprocess

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.render.answers import deploy_json, job_json
from abreast.testing.platforms.render.bodies import CreateDeploy, Rollback, StartJob
from abreast.testing.platforms.render.deploy_engine import DeployEngine, DeploySettings, resolve
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
from abreast.testing.platforms.render.service import (
    IN_PROGRESS,
    Deploy,
    Job,
    Service,
    ServiceKind,
    image_name,
    new_id,
)
from abreast.testing.platforms.render.state import State

HOOK_KEY = "render-hook"
"""The ``key`` in the address of a deploy hook."""

STATUSES = (
    "created", "queued", "build_in_progress", "update_in_progress", "live", "deactivated", "build_failed",
    "update_failed", "canceled", "pre_deploy_in_progress", "pre_deploy_failed",
)  # fmt: skip
JOB_STATUSES = ("pending", "running", "succeeded", "failed", "canceled")
TIMES = tuple(f"{what}{when}" for what in ("created", "updated", "finished") for when in ("Before", "After"))
JOB_TIMES = tuple(f"{what}{when}" for what in ("created", "started", "finished") for when in ("Before", "After"))


class DeployApi:
    """The routes of deploys and jobs."""

    def __init__(self, state: State, engine: DeployEngine, settings: DeploySettings) -> None:
        self._state = state
        self._engine = engine
        self._settings = settings

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/services/{service}/deploys", self._list_deploys, methods=["GET"]),
            Route("/v1/services/{service}/deploys", self._create_deploy, methods=["POST"]),
            Route("/v1/services/{service}/deploys/{deploy}", self._get_deploy, methods=["GET"]),
            Route("/v1/services/{service}/deploys/{deploy}/cancel", self._cancel_deploy, methods=["POST"]),
            Route("/v1/services/{service}/rollback", self._rollback, methods=["POST"]),
            Route("/v1/services/{service}/jobs", self._list_jobs, methods=["GET"]),
            Route("/v1/services/{service}/jobs", self._start_job, methods=["POST"]),
            Route("/v1/services/{service}/jobs/{job}", self._get_job, methods=["GET"]),
            Route("/v1/services/{service}/jobs/{job}/cancel", self._cancel_job, methods=["POST"]),
            Route("/deploy/{service}", self._trigger_hook, methods=["GET", "POST"]),
        ]

    async def _list_deploys(self, request: Request) -> Response:
        service = self._state.service(request)
        require_known_query(request, "status", *TIMES, "cursor", "limit")
        for deploy in list(service.deploys):
            await self._engine.advance(service, deploy)
        found = [
            answer
            for deploy in reversed(service.deploys)
            if selected(request, "status", deploy.status, STATUSES)
            and within(request, ("createdAfter", "createdBefore"), deploy.created_at)
            and within(request, ("updatedAfter", "updatedBefore"), deploy.finished_at or deploy.created_at)
            and within(request, ("finishedAfter", "finishedBefore"), deploy.finished_at)
            and (answer := deploy_json(deploy))
        ]
        return JSONResponse(wrapped("deploy", page(request, found, lambda answer: str(answer["id"]))))

    async def _create_deploy(self, request: Request) -> Response:
        service, body = self._state.service(request), await read_body(request, CreateDeploy)
        if service.is_suspended:
            raise ApiError(400, f"{service.name} is suspended")
        commit, image = _deployed_source(service, body) or self._engine.default_source(service)
        deploy = self._engine.start_deploy(service, commit, "api", image)
        if body.deploy_mode == "deploy_only":
            deploy.status = "update_in_progress"
        return Response(status_code=202) if self._settings.queues_deploys else JSONResponse(deploy_json(deploy), 201)

    async def _get_deploy(self, request: Request) -> Response:
        service = self._state.service(request)
        deploy = _find_deploy(service, request.path_params["deploy"])
        await self._engine.advance(service, deploy)
        return JSONResponse(deploy_json(deploy))

    async def _cancel_deploy(self, request: Request) -> Response:
        service = self._state.service(request)
        deploy = _find_deploy(service, request.path_params["deploy"])
        if deploy.status not in IN_PROGRESS:
            raise ApiError(400, f"{deploy.id} is {deploy.status}")
        self._engine.cancel(service, deploy)
        return JSONResponse(deploy_json(deploy))

    async def _rollback(self, request: Request) -> Response:
        service, body = self._state.service(request), await read_body(request, Rollback)
        old = _find_deploy(service, body.deploy_id)
        if old.status not in {"live", "deactivated"}:
            raise ApiError(400, f"{old.id} was never live")
        if self._settings.builds_expired:
            raise ApiError(400, "the build of this deploy has expired")
        if service.is_suspended:
            raise ApiError(400, f"{service.name} is suspended")
        return JSONResponse(deploy_json(self._engine.start_rollback(service, old)), 201)

    async def _trigger_hook(self, request: Request) -> Response:
        """Start a deploy, without a token. It advances each time the service itself is requested."""
        service = self._state.service(request)
        if request.query_params.get("key") != HOOK_KEY:
            raise ApiError(401, "unauthorized")
        try:
            commit = resolve(service.repo, request.query_params.get("ref", "HEAD"))
        except subprocess.CalledProcessError as error:
            raise ApiError(400, "no such commit") from error
        deploy = self._engine.start_deploy(service, commit, "deploy_hook")
        return JSONResponse({"deploy": {"id": deploy.id}})

    async def _list_jobs(self, request: Request) -> Response:
        service = self._state.service(request)
        require_known_query(request, "status", *JOB_TIMES, "cursor", "limit")
        found = [
            job_json(service, job)
            for job in reversed(service.jobs)
            if selected(request, "status", job.status, JOB_STATUSES)
            and within(request, ("createdAfter", "createdBefore"), job.created_at)
        ]
        return JSONResponse(wrapped("job", page(request, found, lambda answer: str(answer["id"]))))

    async def _start_job(self, request: Request) -> Response:
        service, body = self._state.service(request), await read_body(request, StartJob)
        if service.kind is ServiceKind.STATIC or service.live_deploy is None:
            raise ApiError(400, f"{service.name} has no live build to run a job in")
        job = Job(new_id("job"), body.start_command)
        service.jobs.append(job)
        return JSONResponse(job_json(service, job), 201)

    async def _get_job(self, request: Request) -> Response:
        """Return a job's status. Each poll advances it; it runs in the live build."""
        service = self._state.service(request)
        job, live = _find_job(service, request.path_params["job"]), service.live_deploy
        if job.status == "pending":
            job.status = "running"
        elif job.status == "running" and live:
            await asyncio.to_thread(self._engine.run_job, service, live, job)
        return JSONResponse(job_json(service, job))

    async def _cancel_job(self, request: Request) -> Response:
        service = self._state.service(request)
        job = _find_job(service, request.path_params["job"])
        if job.status not in {"pending", "running"}:
            raise ApiError(400, f"{job.id} is {job.status}")
        job.status = "canceled"
        return JSONResponse(job_json(service, job))


def _deployed_source(service: Service, body: CreateDeploy) -> tuple[str, str] | None:
    """Return the commit and the image to deploy, None if none is named. Raises ApiError(400) for what does not fit."""
    if body.build_id:
        raise not_emulated("deploys of builds")
    if body.deploy_mode == "deploy_only":
        return _last_build(service, body)
    if body.image_url:
        if body.commit_id or image_name(body.image_url) != service.image_path:
            raise ApiError(400, f"imageUrl must be of {service.image_path or 'a service that runs an image'}")
        return service.images.get(body.image_url, ""), body.image_url
    if body.commit_id and service.image_path:
        raise ApiError(400, f"{service.name} runs an image and has no commits")
    return (body.commit_id, "") if body.commit_id else None


def _last_build(service: Service, body: CreateDeploy) -> tuple[str, str]:
    if body.commit_id or body.image_url or body.clear_cache:
        raise ApiError(400, "deploy_only goes without commitId, imageUrl and clearCache")
    built = [deploy for deploy in service.deploys if deploy.status in {"live", "deactivated"}]
    if not built:
        raise ApiError(400, f"{service.name} has no build to deploy")
    return built[-1].commit, built[-1].image


def _find_deploy(service: Service, deploy_id: str) -> Deploy:
    return {deploy.id: deploy for deploy in service.deploys}[deploy_id]


def _find_job(service: Service, job_id: str) -> Job:
    return {job.id: job for job in service.jobs}[job_id]
