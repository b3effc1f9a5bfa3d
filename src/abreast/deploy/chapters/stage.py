"""Stage: a candidate comes up, without users where its platform can do that."""

import asyncio
from collections.abc import Mapping

from abreast.core.model import Chapter, ServicePlan, Version
from abreast.deploy.chapters.gates import annotate_gate_results
from abreast.deploy.runtime.child_environment import child_environment
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart
from abreast.platforms.interface import StageRequest


def version_id(part: ServicePlan, deployment: str) -> str:
    """Return the id of the version that a deployment brings up of a service."""
    return f"{part.name}-{deployment}"


def supports_candidates(run: Run, part: ServicePlan) -> bool:
    """Whether the service's candidate can be checked before the turn; where it cannot, it is checked in the turn."""
    return run.ports.platforms[part.service.platform].capabilities(part.service).has_candidates


async def stage(run: Run, part: ServicePlan, built: ReleasePart) -> Version:
    """Bring the candidate up; raises PlatformError, or ArtifactError where it is not what was built."""
    await asyncio.to_thread(annotate_gate_results, run, built)
    env, secrets = child_environment(run.ports, part.service, run.plan.environment, run.plan.release, built.commit)
    request = await build_stage_request(run, part, built, version_id(part, run.plan.deployment), env, secrets)
    return await run.ports.platforms[part.service.platform].stage(request, run.reporter(Chapter.STAGE))


async def build_stage_request(
    run: Run, part: ServicePlan, built: ReleasePart, version: str, env: Mapping[str, str], secrets: frozenset[str]
) -> StageRequest:
    """Return what a platform needs to bring a version up. Raises ArtifactError if the artifact was altered."""
    artifact = await asyncio.to_thread(run.ports.artifacts.fetch, built.artifact)
    return StageRequest(
        version,
        part.service,
        built.commit,
        artifact,
        built.artifact,
        part.previous,
        env,
        secrets,
        _service_addresses(run),
        part.reserved_url,
    )


def _service_addresses(run: Run) -> dict[str, str]:
    """Return where services answer after this deployment, as far as that is known by now."""
    live = {part.name: part.previous.version.url for part in run.plan.services if part.previous}
    placed = {part.name: part.reserved_url for part in run.plan.services if part.reserved_url}
    return {**live, **{name: version.url for name, version in run.candidates.items()}, **placed}
