"""Build: a clean checkout of the commit, the service's command in it, its output kept by digest."""

import asyncio
import getpass
import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from abreast.commands.interface import Command
from abreast.core import image, inputs, sbom
from abreast.core.codec import dump
from abreast.core.errors import ArtifactError
from abreast.core.events import What
from abreast.core.model import Chapter, Failure, ServicePlan
from abreast.deploy.changes import counting
from abreast.deploy.run import Run
from abreast.deploy.surroundings import surroundings
from abreast.ledger.interface import Part


async def build(run: Run, part: ServicePlan) -> Part | Failure:
    """Return what the service deploys: what the release has, what was made before from the same, or a new one."""
    return await asyncio.to_thread(_known, run, part) or await _make(run, part)


def _known(run: Run, part: ServicePlan) -> Part | None:
    """Return what the release has, or what the plan names."""
    if part.artifact and run.ports.artifacts.has(part.artifact):
        known = Part(part.name, part.commit, part.artifact, part.service)
        run.ports.ledger.built(run.plan.release, known)
        return known
    found = run.ports.ledger.release(run.plan.release).parts.get(part.name)
    return found if found and run.ports.artifacts.has(found.artifact) else None


async def _make(run: Run, part: ServicePlan) -> Part | Failure:
    files = await asyncio.to_thread(counting, run.ports.source, part.service, part.commit)
    made_from = _inputs(run, part, files)
    if not run.plan.anew and (found := await asyncio.to_thread(_made_before, run, part, made_from)):
        await run.tell(
            f"{part.name}/build/same", What.NOTE, _same(run, found), service=part.name, chapter=Chapter.BUILD
        )
        return found
    room = run.ports.folders.work / run.plan.deployment / part.name
    await asyncio.to_thread(_fresh_checkout, run, part, room)
    if failure := await _run_commands(run, part, room):
        return failure
    output = room / (part.service.build.output or "")
    if not output.is_dir():
        missing = f"the build made no folder {part.service.build.output}"
        return Failure(Chapter.BUILD, missing, part.name)
    if part.service.build.image:
        try:
            output = await asyncio.to_thread(_image, part.service.build.image, room)
        except (ValueError, OSError, KeyError) as error:
            return Failure(Chapter.BUILD, f"the image {part.service.build.image}: {error}", part.name)
    for name in run.ports.platforms[part.service.platform].capabilities(part.service).config_files:
        await asyncio.to_thread(_take_along, name, output, room)
    about = await asyncio.to_thread(_about, run, part, files, made_from)
    digest = await asyncio.to_thread(run.ports.artifacts.add, output, about)
    made = Part(part.name, part.commit, digest, part.service)
    await asyncio.to_thread(run.ports.ledger.built, run.plan.release, made)
    return made


def _inputs(run: Run, part: ServicePlan, files: Mapping[str, str]) -> str:
    """Return the digest of all that the build is made from; its commit is not, where what counts is the same."""
    secrets = {name: run.ports.fingerprint(secret) for name, secret in run.ports.reveal(part.service).items()}
    along = run.ports.platforms[part.service.platform].capabilities(part.service).config_files
    return inputs.digest(part.service, run.plan.environment, files, secrets, along, platform.machine())


def _made_before(run: Run, part: ServicePlan, made_from: str) -> Part | None:
    """Return what was made before from the same; it is of the commit that it was made at, which the present one has."""
    digest = run.ports.artifacts.made_from(made_from)
    if digest is None:
        return None
    try:
        run.ports.artifacts.take(digest)
    except ArtifactError:
        return None
    commit = str(run.ports.artifacts.about(digest, part.name).get("commit") or part.commit)
    if not run.ports.source.contains(part.commit, commit):  # rewritten since: no platform could fetch it any more
        return None
    made = Part(part.name, commit, digest, part.service)
    run.ports.ledger.built(run.plan.release, made)
    return made


def _same(run: Run, found: Part) -> str:
    about = run.ports.artifacts.about(found.artifact, found.service)
    return f"the same as was built for {about.get('release')} ({found.commit[:7]})"


def _about(run: Run, part: ServicePlan, files: Mapping[str, str], made_from: str) -> dict[str, Any]:
    """Return what is to be known of an artifact."""
    locks = run.ports.source.read(part.commit, [file for file in files if sbom.is_lock(file)])
    now = run.ports.now()
    return {
        "service": part.name,
        "commit": part.commit,
        "release": run.plan.release,
        "environment": run.plan.environment,
        "built": now,
        "builder": {
            "abreast": version("abreast"),
            "machine": f"{platform.system()} {platform.machine()}",
            "by": run.plan.author or getpass.getuser(),
        },
        "build": part.service.build.run,
        "inputs": made_from,
        "files": len(files),
        "sbom": sbom.document(part.name, run.plan.release, now, locks),
    }


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


def _image(name: str, room: Path) -> Path:
    """Return a folder that holds what is to be kept of an image."""
    found = image.inspected(name, (room / image.INSPECTED).read_bytes())
    folder = room.with_name(f"{room.name}.image")
    folder.mkdir(exist_ok=True)
    (folder / image.FILE).write_text(json.dumps(dump(found), indent=1))
    return folder


async def _run_commands(run: Run, part: ServicePlan, room: Path) -> Failure | None:
    """Run the service's own command, then those that make its image, where it has them."""
    build = part.service.build
    for text in filter(None, (build.run, _of_image(run, part))):
        if failure := await _run_command(run, part, room, text):
            return failure
    return None


def _of_image(run: Run, part: ServicePlan) -> str | None:
    build = part.service.build
    if build.image is None:
        return None
    return image.commands(build.image, build.dockerfile, build.output or ".", run.plan.release, part.commit)


async def _run_command(run: Run, part: ServicePlan, room: Path, text: str) -> Failure | None:
    env, secrets = surroundings(run.ports, part.service, run.plan.environment, run.plan.release, part.commit)
    command = Command(
        text=text,
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
    return Failure(Chapter.BUILD, f"`{text}`: {ended.why}", part.name, ended.tail)
