"""Check: probe a candidate until it proves healthy or fails."""

import asyncio
from dataclasses import replace

from abreast.core.errors import UnavailableError
from abreast.core.events import EventKind
from abreast.core.model import Chapter, Failure, ServicePlan, Version
from abreast.core.probes import ProbeResult, ProbeSeries, ProbeVerdict
from abreast.deploy.runtime.run import Run
from abreast.platforms.interface import Observation, VersionRef

MAX_PAUSE = 1.0
"""The longest pause between probes of a slow start, in seconds. It is a tenth of the time waited so far."""


async def wait_until_healthy(run: Run, part: ServicePlan, version: Version) -> Failure | None:
    """Probe the version until it proves healthy or fails. Returns the failure."""
    health = part.service.health
    series = ProbeSeries(health.start, health.hold)
    clock = asyncio.get_running_loop().time
    begin, pause = clock(), run.probe_interval / 8
    while series.verdict is ProbeVerdict.OPEN:
        observation, result = await probe_version(run, part, version, Chapter.CHECK)
        series = series.with_result(replace(result, elapsed=clock() - begin))
        if series.verdict is ProbeVerdict.FAILED:
            return Failure(Chapter.CHECK, series.why, part.name, observation.log_tail)
        if stopping := run.halt.stop_failure(Chapter.CHECK, part.name):
            return stopping
        if series.verdict is ProbeVerdict.OPEN:
            waited = clock() - begin
            await asyncio.sleep(series.next_delay(waited, pause))
            pause = min(pause * 1.3, max(run.probe_interval, min(waited / 10, MAX_PAUSE)))
    return None


def with_live_probes(version: Version) -> Version:
    """Return the version with the probes to use once it is live."""
    return replace(version, probes=version.live_probes or version.probes)


async def probe_version(
    run: Run, part: ServicePlan, version: Version, chapter: Chapter
) -> tuple[Observation, ProbeResult]:
    """Probe once: the process on its platform, then its health endpoint. That decides if the platform is away."""
    reference = VersionRef(part.service, version.id, version.handle)
    try:
        observation = (await run.ports.platforms[part.service.platform].observe([reference]))[version.id]
    except UnavailableError as error:
        note = f"{error.what}; its health is checked all the same"
        await run.record(f"{part.name}/{chapter}/unobserved", EventKind.NOTE, note, service=part.name, chapter=chapter)
        observation = Observation(present=True)
    if observation.restarts or not observation.present:
        return observation, ProbeResult(
            0, success=False, why=f"the process ended: {observation.exit_reason or 'it is gone'}", final=True
        )
    if observation.waiting:
        return observation, ProbeResult(0, success=False, why=observation.waiting)
    found = await run.ports.check(version, part.service.health, run.candidate_commit(part))
    return observation, ProbeResult(0, found.success, found.why, found.final, found.status)
