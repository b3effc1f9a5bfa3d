"""Check: probe a candidate until it proves healthy or fails."""

import asyncio
from dataclasses import replace

from abreast.checks.interface import CheckResult
from abreast.commands.interface import Command
from abreast.core.errors import UnavailableError
from abreast.core.events import EventKind
from abreast.core.model import Chapter, Failure, Service, Version
from abreast.core.plan import ServicePlan
from abreast.core.probes import ProbeResult, ProbeSeries, ProbeVerdict
from abreast.deploy.runtime.run import Run
from abreast.deploy.runtime.service_commands import secret_names, wait_forever
from abreast.platforms.interface import Observation, ProcessContext, VersionRef

COMMAND_INTERVAL = 1.0
"""Seconds between two runs of a health command."""

MAX_PAUSE = 1.0
"""The longest pause between probes of a slow start, in seconds. It is a tenth of the time waited so far."""


async def wait_until_healthy(run: Run, part: ServicePlan, version: Version) -> Failure | None:
    """Probe the version until it proves healthy or fails. Returns the failure."""
    health = part.service.health
    series = ProbeSeries(health.start, 0.0 if run.plan.emergency else health.hold)
    clock = asyncio.get_running_loop().time
    longest = probe_interval(run, part.service)
    begin, pause = clock(), longest if health.interval else longest / 8
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
            pause = min(pause * 1.3, max(longest, min(waited / 10, MAX_PAUSE)))
    return None


def with_live_probes(run: Run, version: Version) -> Version:
    """Return the version with the probes to use once it is live.

    In maintenance its address answers with a page: then with those of the version itself, if it has any.
    """
    if version.service in run.ports.ledger.maintenance(run.plan.environment):
        return version
    return replace(version, probes=version.live_probes or version.probes)


async def probe_version(
    run: Run, part: ServicePlan, version: Version, chapter: Chapter
) -> tuple[Observation, ProbeResult]:
    """Probe once: the process on its platform, then its health. That decides if the platform is away."""
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
    at = replace(version, probes=version.probes or observation.probes)  # of one that has no address before it starts
    found = await check_health(run, part.service, at, run.candidate_commit(part), observation)
    return observation, ProbeResult(0, found.success, found.why, found.final, found.status)


async def check_health(
    run: Run, service: Service, version: Version, commit: str, observation: Observation
) -> CheckResult:
    """Check the health of a version that its platform observed: by HTTP, or what stands for it without an address."""
    if service.has_address:
        return await run.ports.check(version, service.health, commit)
    if not observation.present:
        return CheckResult(success=False, why=observation.exit_reason)
    if service.health.command and observation.context:
        return await _run_health_command(run, service, service.health.command, observation.context)
    return CheckResult(success=True)


async def _run_health_command(run: Run, service: Service, command: str, context: ProcessContext) -> CheckResult:
    """Run a worker's health command where the worker runs, with its variables."""
    log = run.ports.folders.logs / run.plan.deployment / f"{service.name}.health.log"
    secrets = secret_names(service, context.env)
    ended = await run.ports.run_command(
        Command(command, context.folder, log, service.health.within, context.env, secrets), wait_forever()
    )
    said = f": {ended.tail[-1]}" if ended.tail else ""
    return CheckResult(success=not ended.why, why=f"`{command}`: {ended.why}{said}")


def probe_interval(run: Run, service: Service) -> float:
    """Return the seconds between two probes: as abreast.yml says, by default more if each starts a process."""
    if service.health.interval is not None:
        return service.health.interval
    return max(run.probe_interval, COMMAND_INTERVAL) if service.health.command else run.probe_interval
