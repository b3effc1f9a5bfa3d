"""Stage: start a candidate, without users if its platform supports that."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from abreast.core.model import Chapter, LiveService, Version
from abreast.core.plan import ServicePlan
from abreast.core.strategy import Strategy
from abreast.deploy.chapters.gates import annotate_gate_results
from abreast.deploy.chapters.install import artifact_variables
from abreast.deploy.runtime.child_environment import child_environment
from abreast.deploy.runtime.platform_state import rollout_capabilities
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart
from abreast.platforms.interface import StageRequest


def version_id(part: ServicePlan, deployment: str) -> str:
    """Return the id of the version that a deployment stages for a service."""
    return f"{part.name}-{deployment}"


def supports_candidates(run: Run, part: ServicePlan) -> bool:
    """Whether the candidate can run without users. If not, it is started and checked in the traffic switch."""
    return rollout_capabilities(run.ports, part).has_candidates


async def stage(run: Run, part: ServicePlan, built: ReleasePart) -> Version:
    """Start the candidate. Raises PlatformError, or ArtifactError if the artifact was altered."""
    await asyncio.to_thread(annotate_gate_results, run, built)
    env, secrets = child_environment(run.ports, part.service, run.plan.environment, run.plan.release, built.commit)
    request = await build_stage_request(run, part, built, version_id(part, run.plan.deployment), env, secrets)
    return await run.ports.platforms[part.service.platform].stage(request, run.reporter(Chapter.STAGE))


async def build_stage_request(
    run: Run, part: ServicePlan, built: ReleasePart, version: str, env: Mapping[str, str], secrets: frozenset[str]
) -> StageRequest:
    """Return what a platform needs to start a version. Raises ArtifactError if the artifact was altered."""
    artifact = await asyncio.to_thread(run.ports.artifacts.fetch, built.artifact)
    python = await artifact_variables(run, part.service, built.commit, artifact)
    return StageRequest(
        version,
        part.rollout_service,
        built.commit,
        artifact,
        built.artifact,
        part.previous,
        {**env, **python},
        secrets,
        _service_addresses(run),
        part.reserved_url,
    )


async def request_for_live(run: Run, live: LiveService, strategy: Strategy | None) -> StageRequest:
    """Return what a platform needs to start a live version again, with the values that its variables have now.

    ``strategy``: by which the version that it takes the place of was deployed.

    Raises UsageError that names the secrets without a value, ArtifactError if the artifact is gone or was altered.
    """
    env, secrets = child_environment(run.ports, live.definition, run.plan.environment, live.release, live.commit)
    artifact = await asyncio.to_thread(run.ports.artifacts.fetch, live.artifact)
    env = {**env, **await artifact_variables(run, live.definition, live.commit, artifact)}
    definition = replace(live.definition, strategy=strategy or live.definition.strategy)
    return StageRequest(
        live.version.id, definition, live.commit, artifact, live.artifact, None, env, secrets,
        _live_addresses(run), live.version.url,
    )  # fmt: skip


def _service_addresses(run: Run) -> dict[str, str]:
    """Return the URLs of services after this deployment, as far as they are known by now."""
    live = _live_addresses(run)
    reserved = {part.name: part.reserved_url for part in run.plan.services if part.reserved_url}
    return {**live, **{name: version.url for name, version in run.candidates.items()}, **reserved}


def _live_addresses(run: Run) -> dict[str, str]:
    """Return the URLs of services before this deployment; those of the base for services that a preview shares."""
    live = {part.name: part.previous or part.shared for part in run.plan.services}
    return {name: found.version.url for name, found in live.items() if found}
