"""Runs of cron jobs. None starts by its schedule: each is asked for."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.render.deploy_engine import DeployEngine
from abreast.testing.platforms.render.process import BackgroundProcess
from abreast.testing.platforms.render.requests import ApiError
from abreast.testing.platforms.render.service import CronRun, Deploy, Service, ServiceKind, new_id
from abreast.testing.platforms.render.state import State


class CronApi:
    """The routes below /cron-jobs."""

    def __init__(self, state: State, engine: DeployEngine) -> None:
        self._state = state
        self._engine = engine
        self._runs: dict[str, tuple[CronRun, BackgroundProcess, asyncio.Task[None]]] = {}

    def routes(self) -> list[Route]:
        """Return the routes."""
        path = "/v1/cron-jobs/{service}/runs"
        return [Route(path, self._start, methods=["POST"]), Route(path, self._cancel, methods=["DELETE"])]

    async def _start(self, request: Request) -> Response:
        """Run the live build now. A run that still goes on is canceled."""
        service = self._cron_job(request)
        live = service.live_deploy
        if live is None or service.is_suspended:
            raise ApiError(406, f"{service.name} has no build to run")
        await self._end_running(service)
        run = CronRun(new_id("crr"))
        service.record("cron_job_run_started", cronJobRunId=run.id)
        process = await asyncio.to_thread(self._start_process, service, live)
        waiting = asyncio.create_task(self._wait(service, run, process))
        self._runs[service.id] = (run, process, waiting)
        return JSONResponse({"id": run.id, "status": run.status, "startedAt": run.started_at})

    async def _cancel(self, request: Request) -> Response:
        await self._end_running(self._cron_job(request))
        return Response(status_code=204)

    async def _end_running(self, service: Service) -> None:
        if service.id in self._runs:
            run, process, waiting = self._runs.pop(service.id)
            run.status = "canceled" if run.status == "pending" else run.status
            await asyncio.to_thread(process.stop)
            await waiting

    def _start_process(self, service: Service, live: Deploy) -> BackgroundProcess:
        folder = self._engine.checkout(service, live.commit)
        env = {"RENDER": "true", "RENDER_GIT_COMMIT": live.commit, **self._engine.variables(service)}
        return BackgroundProcess.start(["/bin/sh", "-c", service.command], folder, env, folder / ".log")

    async def _wait(self, service: Service, run: CronRun, process: BackgroundProcess) -> None:
        code = await asyncio.to_thread(process.process.wait)
        service.write_log("app", *process.log.read_text(errors="replace").splitlines())
        if run.status == "pending":
            run.status = "unsuccessful" if code else "successful"
        service.record("cron_job_run_ended", cronJobRunId=run.id, status=run.status)

    def _cron_job(self, request: Request) -> Service:
        service = self._state.service(request)
        if service.kind is not ServiceKind.CRON:
            raise KeyError(service.id)
        return service

    def close(self) -> None:
        """End all runs."""
        for _, process, _ in self._runs.values():
            process.stop()
