"""Jobs: a command that runs once, in the build that is live."""

import asyncio

from abreast.core.model import Service
from abreast.platforms.cloud.api import LostAnswerError
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Tell
from abreast.platforms.render.client import Job, Render


class Jobs:
    """Runs jobs, or finds those that were begun."""

    def __init__(self, render: Render, pace: Pace) -> None:
        self._render = render
        self._pace = pace

    async def run(self, service: Service, id: str, command: str, since: str, tell: Tell) -> str:
        """Run the command once ``since`` that moment, and wait for its end; return what went wrong, "" for nothing."""
        job = await self._found(id, command, since) or await self._begun(id, command, since)
        with self._pace.waiting(service.build.timeout) as pauses:
            for pause in pauses:
                if job.status == "succeeded":
                    await tell(service.name, f"render: {job.id} succeeded: {command}")
                    return ""
                if job.status in {"failed", "canceled"}:
                    break
                await asyncio.sleep(pause)
                job = await self._render.job(id, job.id)
        return f"the job {job.id} of {service.name} is {job.status}: {command}"

    async def _found(self, id_: str, command: str, since: str) -> Job | None:
        found = (one for one in await self._render.jobs(id_) if one.command == command and one.created >= since)
        return next(found, None)

    async def _begun(self, id_: str, command: str, since: str) -> Job:
        try:
            return await self._render.run_job(id_, command)
        except LostAnswerError:
            if found := await self._found(id_, command, since):
                return found
            raise
