"""Build: a clean checkout of the commit, the service's command in it, its output kept by digest."""

import asyncio
import shutil
from pathlib import Path

from abreast.commands.interface import Command
from abreast.core.model import Chapter, Failure, ServicePlan
from abreast.deploy.run import Run
from abreast.deploy.surroundings import surroundings
from abreast.ledger.interface import Part


async def build(run: Run, part: ServicePlan) -> Part | Failure:
    """Return what the service deploys: from the release if it is there already, else made now."""
    if part.artifact and run.ports.artifacts.path(part.artifact):
        known = Part(part.name, part.commit, part.artifact, part.service)
        await asyncio.to_thread(run.ports.ledger.built, run.plan.release, known)
        return known
    kept = await asyncio.to_thread(run.ports.ledger.release, run.plan.release)
    found = kept.parts.get(part.name)
    if found and run.ports.artifacts.path(found.artifact):
        return found
    return await _make(run, part)


async def _make(run: Run, part: ServicePlan) -> Part | Failure:
    room = run.ports.folders.work / run.plan.deployment / part.name
    await asyncio.to_thread(_fresh_checkout, run, part, room)
    if failure := await _run_command(run, part, room):
        return failure
    output = room / (part.service.build.output or "")
    if not output.is_dir():
        missing = f"the build made no folder {part.service.build.output}"
        return Failure(Chapter.BUILD, missing, part.name)
    for name in run.ports.platforms[part.service.platform].abilities(part.service).along:
        await asyncio.to_thread(_take_along, name, output, room)
    digest = await asyncio.to_thread(run.ports.artifacts.add, output)
    made = Part(part.name, part.commit, digest, part.service)
    await asyncio.to_thread(run.ports.ledger.built, run.plan.release, made)
    return made


def _fresh_checkout(run: Run, part: ServicePlan, room: Path) -> None:
    if room.exists():
        shutil.rmtree(room)
    run.ports.source.checkout(part.commit, room)


def _take_along(name: str, output: Path, room: Path) -> None:
    """Copy a file into the output from the nearest folder above that has it, where the build left none."""
    if (output / name).exists():
        return
    around = [folder for folder in output.parents if folder.is_relative_to(room)]
    found = next((folder / name for folder in around if (folder / name).is_file()), None)
    if found:
        shutil.copy2(found, output / name)


async def _run_command(run: Run, part: ServicePlan, room: Path) -> Failure | None:
    if part.service.build.run is None:
        return None
    env, secrets = surroundings(run.ports, part.service, run.plan.environment, run.plan.release, part.commit)
    command = Command(
        text=part.service.build.run,
        cwd=room,
        log=run.ports.folders.logs / run.plan.deployment / f"{part.name}.build.log",
        timeout=part.service.build.timeout,
        env={**run.ports.inherited, **env},
        secrets=secrets,
    )
    ended = await run.ports.command(command, run.halt.wait())
    if not ended.why:
        return None
    if stopping := run.halt.stopping(Chapter.BUILD, part.name):
        return stopping
    return Failure(Chapter.BUILD, f"`{part.service.build.run}`: {ended.why}", part.name, ended.tail)
