"""Jobs: a command that runs once, in the build that is live."""

import asyncio

from abreast.core.model import Service
from abreast.platforms.cloud.api_client import UnknownOutcomeError
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.interface import Reporter
from abreast.platforms.render.client import Job, RenderClient


class Jobs:
    """Runs jobs, or finds those that were begun."""

    def __init__(self, render: RenderClient, poll_budget: PollBudget) -> None:
        self._render = render
        self._poll_budget = poll_budget

    async def run_once(self, service: Service, id: str, command: str, since: str, report: Reporter) -> str:
        """Run the command once ``since`` that moment, and wait for its end; return what went wrong, "" for nothing."""
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
        found = (one for one in await self._render.list_jobs(id_) if one.command == command and one.created_at >= since)
        return next(found, None)

    async def _start(self, id_: str, command: str, since: str) -> Job:
        try:
            return await self._render.run_job(id_, command)
        except UnknownOutcomeError:
            if found := await self._find(id_, command, since):
                return found
            raise
