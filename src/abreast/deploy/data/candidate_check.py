"""Start and probe the candidate on a migrated copy of the database, before the real one is migrated."""

from dataclasses import replace

from abreast.core.model import Chapter, Failure, FailureCause
from abreast.core.plan import ServicePlan
from abreast.database.interface import Database
from abreast.deploy.chapters.check import wait_until_healthy
from abreast.deploy.chapters.stage import build_stage_request, supports_candidates, version_id
from abreast.deploy.data.migration_runner import environment_for_copy
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart
from abreast.platforms.interface import VersionRef


async def check_on_database_copy(run: Run, part: ServicePlan, built: ReleasePart, copy: Database) -> Failure | None:
    """Start one instance of the candidate on a copy of the database, check its health, retire it."""
    if not supports_candidates(run, part) or part.service.run is None:
        return None
    platform = run.ports.platforms[part.service.platform]
    single_instance = replace(part, service=replace(part.service, instances=1))
    version = f"{version_id(part, run.plan.deployment)}-rehearsal"
    rehearsal_versions = [VersionRef(single_instance.service, version)]
    await platform.retire(rehearsal_versions, 0)
    try:
        env, secrets = environment_for_copy(run, part, copy)
        request = await build_stage_request(run, single_instance, built, version, env, secrets)
        failure = await wait_until_healthy(
            run, single_instance, await platform.stage(request, run.reporter(Chapter.REHEARSE))
        )
    finally:
        await platform.retire(rehearsal_versions, 0)
    if failure is None or failure.cause is not FailureCause.FAULT:
        return failure
    return replace(failure, chapter=Chapter.REHEARSE, message=f"on the migrated copy: {failure.message}")
