"""Jobs: one-off commands in the live build."""

import asyncio

from abreast.core.model import Service
from abreast.platforms.interface import Reporter
from abreast.platforms.render.client import RenderClient
from abreast.platforms.render.resources import Job
from abreast.provider_api.api_client import UnknownOutcomeError
from abreast.provider_api.polling import PollBudget


class Jobs:
    """Runs jobs, or finds started ones."""

    def __init__(self, render: RenderClient, poll_budget: PollBudget) -> None:
        self._render = render
        self._poll_budget = poll_budget

    async def run_once(self, service: Service, id: str, command: str, since: str, report: Reporter) -> str:
        """Run the command unless it ran after ``since``, and wait for it. Returns the failure, "" on success."""
        job = await self._find(id, command, since) or await self._start(id, command, since)
        with self._poll_budget.schedule(service.build.timeout) as pauses:
            for pause in pauses:
                if job.status == "succeeded":
                    await report(service.name, f"render: {job.id} succeeded: {command}")
                    return ""
                if job.status in {"failed", "canceled"}:
                    break
                await asyncio.sleep(pause)
                job = await self._render.get_job(id, job.id)
        return f"the job {job.id} of {service.name} is {job.status}: {command}"

    async def _find(self, id_: str, command: str, since: str) -> Job | None:
        jobs = await self._render.list_jobs(id_)
        return next((job for job in jobs if job.command == command and job.created_at >= since), None)

    async def _start(self, id_: str, command: str, since: str) -> Job:
        try:
            return await self._render.run_job(id_, command)
        except UnknownOutcomeError:
            if job := await self._find(id_, command, since):
                return job
            raise
