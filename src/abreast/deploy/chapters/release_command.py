"""The release command: runs once for each release, after migrations and before the candidate starts."""

import asyncio

from abreast.commands.interface import Command
from abreast.core.events import EventKind
from abreast.core.model import Chapter, Failure
from abreast.core.plan import ServicePlan
from abreast.deploy.chapters.install import artifact_variables
from abreast.deploy.runtime.release_commands import deployment_that_ran_it
from abreast.deploy.runtime.run import Run
from abreast.deploy.runtime.service_commands import command_environment, copy_artifact, image_variables
from abreast.ledger.interface import ReleasePart


async def run_release_command(run: Run, part: ServicePlan, built: ReleasePart) -> Failure | None:
    """Run the command in a copy of the build output, unless it is known to have succeeded for this release.

    Raises ArtifactError if the artifact was altered, UsageError that names every secret without a value.
    """
    release = part.service.release
    assert release
    if ran := await asyncio.to_thread(deployment_that_ran_it, run.ports.ledger, run.plan, part):
        text = f"not run again: it succeeded for {run.plan.release} in {ran}"
        await run.record(f"{part.name}/release/known", EventKind.NOTE, text, service=part.name, chapter=Chapter.RELEASE)
        return None
    workdir = run.ports.folders.work / run.plan.deployment / f"{part.name}.release"
    await asyncio.to_thread(copy_artifact, run.ports.artifacts, built.artifact, workdir)
    env, secrets = await asyncio.to_thread(command_environment, run, part)
    env |= await asyncio.to_thread(image_variables, workdir)
    env |= await artifact_variables(run, part.service, run.candidate_commit(part), workdir)
    log = run.ports.folders.logs / run.plan.deployment / f"{part.name}.release.log"
    command = Command(release.run, workdir / part.service.artifact_folder, log, release.timeout, env, secrets)
    ended = await run.ports.run_command(command, run.halt.wait())
    if not ended.why:
        return None
    if stopping := run.halt.stop_failure(Chapter.RELEASE, part.name):
        return stopping
    return Failure(Chapter.RELEASE, f"`{release.run}`: {ended.why}", part.name, ended.excerpt)
