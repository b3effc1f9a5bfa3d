"""One service's part of a deployment, until its candidate is ready for users: build, stage, check."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from abreast.core.model import Cause, Chapter, Failure, ServicePlan, Version
from abreast.core.planner import waits_for
from abreast.core.trial import Look, Trial, Verdict
from abreast.database.interface import Database
from abreast.deploy.build import build
from abreast.deploy.keeping import note_results
from abreast.deploy.migrate import up_to_date
from abreast.deploy.migrator import on_copy
from abreast.deploy.run import Run
from abreast.deploy.surroundings import surroundings
from abreast.ledger.interface import Part
from abreast.platforms.interface import Observation, StageRequest, VersionRef


def version_id(part: ServicePlan, deployment: str) -> str:
    """Return the id of the version that a deployment brings up of a service."""
    return f"{part.name}-{deployment}"


async def rollout(run: Run, part: ServicePlan) -> Version | Failure:
    """Return the service's candidate, up and healthy, or why there is none."""
    made = await run.chapter(Chapter.BUILD, lambda: build(run, part), Part, part.name)
    if isinstance(made, Failure):
        return made
    run.built[part.name].set_result(made)
    await _gates_and_others_first(run, part)
    if part.data and part.data.forward:
        failure = await up_to_date(run, part, made, partial(healthy_on, run, part, made))
        if failure:
            return failure
    version = await run.chapter(Chapter.STAGE, lambda: stage(run, part, made), Version, part.name)
    if isinstance(version, Failure):
        return version
    if comes_without_users(run, part) and (
        failure := await run.chapter(Chapter.CHECK, lambda: check(run, part, version), None, part.name)
    ):
        return failure
    run.arrived(version)
    return version


def comes_without_users(run: Run, part: ServicePlan) -> bool:
    """Whether the service's candidate can be checked before the turn; where it cannot, it is checked in the turn."""
    return run.ports.platforms[part.service.platform].capabilities(part.service).has_candidates


async def _gates_and_others_first(run: Run, part: ServicePlan) -> None:
    """Wait for all gates and for the candidates that this one waits for, or until the deployment stops."""
    others = [run.staged[name] for name in waits_for(part, run.plan.rollouts) if name in run.staged]
    events = [event for event in (run.gated, *others) if not event.is_set()]
    # No database is touched for a release of which a part cannot be built.
    builds = [asyncio.shield(built) for built in run.built.values() if part.data and not built.done()]
    if not events and not builds:
        return
    ready: asyncio.Future[object] = asyncio.ensure_future(_all(events, builds))
    halted: asyncio.Future[object] = asyncio.ensure_future(run.halt.wait())
    await asyncio.wait([ready, halted], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    halted.cancel()


async def _all(events: Sequence[asyncio.Event], builds: Sequence[asyncio.Future[Part]]) -> None:
    await asyncio.gather(*(event.wait() for event in events), *builds)


async def stage(run: Run, part: ServicePlan, made: Part) -> Version:
    """Bring the candidate up; raises PlatformError, or ArtifactError where it is not what was built."""
    await asyncio.to_thread(note_results, run, made)
    env, secrets = surroundings(run.ports, part.service, run.plan.environment, run.plan.release, made.commit)
    order = await _order(run, part, made, version_id(part, run.plan.deployment), env, secrets)
    return await run.ports.platforms[part.service.platform].stage(order, run.teller(Chapter.STAGE))


async def _order(
    run: Run, part: ServicePlan, made: Part, version: str, env: Mapping[str, str], secrets: frozenset[str]
) -> StageRequest:
    artifact = await asyncio.to_thread(run.ports.artifacts.take, made.artifact)
    return StageRequest(
        version,
        part.service,
        made.commit,
        artifact,
        made.artifact,
        part.previous,
        env,
        secrets,
        _addresses(run),
        part.place,
    )


async def healthy_on(run: Run, part: ServicePlan, made: Part, copy: Database) -> Failure | None:
    """Bring one instance of the candidate up on a copy of the database, look at its health, and let it go."""
    if not comes_without_users(run, part) or part.service.run is None:
        return None
    platform = run.ports.platforms[part.service.platform]
    alone = replace(part, service=replace(part.service, instances=1))
    version = f"{version_id(part, run.plan.deployment)}-rehearsal"
    going = [VersionRef(alone.service, version)]
    await platform.retire(going, 0)
    try:
        env, secrets = on_copy(run, part, copy)
        order = await _order(run, alone, made, version, env, secrets)
        failure = await check(run, alone, await platform.stage(order, run.teller(Chapter.REHEARSE)))
    finally:
        await platform.retire(going, 0)
    if failure is None or failure.cause is not Cause.FAULT:
        return failure
    return replace(failure, chapter=Chapter.REHEARSE, what=f"on the migrated copy: {failure.what}")


def _addresses(run: Run) -> dict[str, str]:
    """Return where services answer after this deployment, as far as that is known by now."""
    live = {part.name: part.previous.version.url for part in run.plan.services if part.previous}
    placed = {part.name: part.place for part in run.plan.services if part.place}
    return {**live, **{name: version.url for name, version in run.candidates.items()}, **placed}


async def check(run: Run, part: ServicePlan, version: Version) -> Failure | None:
    """Look at the version until it proves healthy or fails; returns why it failed."""
    health = part.service.health
    trial = Trial(health.start, health.hold)
    clock = asyncio.get_running_loop().time
    begin, pause = clock(), run.pause / 8
    while trial.verdict is Verdict.OPEN:
        seen, look = await look_at(run, part, version)
        trial = trial.after(Look(clock() - begin, look.good, look.why, look.final))
        if trial.verdict is Verdict.FAILED:
            return Failure(Chapter.CHECK, trial.why, part.name, seen.log_tail)
        if stopping := run.halt.stopping(Chapter.CHECK, part.name):
            return stopping
        if trial.verdict is Verdict.OPEN:
            await asyncio.sleep(trial.pause(clock() - begin, pause))
            pause = min(pause * 1.3, run.pause)
    return None


def with_users(version: Version) -> Version:
    """Return the version as it is asked after its turn."""
    return replace(version, probes=version.turned or version.probes)


async def look_at(run: Run, part: ServicePlan, version: Version) -> tuple[Observation, Look]:
    """Look once, at the platform and at the version itself."""
    sightings = await run.ports.platforms[part.service.platform].observe(
        [VersionRef(part.service, version.id, version.handle)]
    )
    seen = sightings[version.id]
    if seen.restarts or not seen.present:
        return seen, Look(0, good=False, why=f"the process ended: {seen.exit_reason or 'it is gone'}", final=True)
    if seen.waiting:
        return seen, Look(0, good=False, why=seen.waiting)
    found = await run.ports.check(version, part.service.health, run.commit_of(part))
    return seen, Look(0, found.good, found.why, found.final)
