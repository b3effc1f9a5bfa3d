"""Build: check the commit out, run the service's build command, store the output by digest."""

import asyncio
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from abreast import __version__
from abreast.commands.interface import Command
from abreast.core import container_image
from abreast.core.changes import build_inputs
from abreast.core.codec import dump
from abreast.core.errors import ArtifactError
from abreast.core.events import EventKind
from abreast.core.flags import built_in_flags
from abreast.core.model import Chapter, Failure
from abreast.core.plan import ServicePlan
from abreast.core.reports import sbom
from abreast.deploy.chapters.attestation import attest, check_attestation
from abreast.deploy.chapters.install import ENVIRONMENT_FILE, install_by, is_run_here
from abreast.deploy.runtime.attestations import verify_artifact
from abreast.deploy.runtime.child_environment import RELEASE_VARIABLE, child_environment
from abreast.deploy.runtime.image_layers import cache_options, earlier_images
from abreast.deploy.runtime.install_recipe import InstallRecipe, install_recipe
from abreast.deploy.runtime.run import Run
from abreast.deploy.runtime.service_commands import image_variables
from abreast.ledger.interface import ReleasePart
from abreast.source.changed_files import build_input_files


async def build_and_verify(run: Run, part: ServicePlan) -> ReleasePart | Failure:
    """Return the artifact to deploy, if the environment takes it as it is attested."""
    built = await build(run, part)
    return built if isinstance(built, Failure) else await check_attestation(run, built) or built


async def build(run: Run, part: ServicePlan) -> ReleasePart | Failure:
    """Return the artifact to deploy: the release's own, one built before from the same inputs, or a new one."""
    return await asyncio.to_thread(_already_built, run, part) or await _reuse_or_build(run, part)


def _already_built(run: Run, part: ServicePlan) -> ReleasePart | None:
    """Return the artifact that the plan names or the release already has; None if it must be built."""
    if part.artifact and run.ports.artifacts.has(part.artifact):
        known = ReleasePart(part.name, part.commit, part.artifact, part.service, _image(run, part, part.artifact))
        run.ports.ledger.add_release_part(run.plan.release, known)
        return known
    found = run.ports.ledger.release(run.plan.release).parts.get(part.name)
    return found if found and run.ports.artifacts.has(found.artifact) else None


async def _reuse_or_build(run: Run, part: ServicePlan) -> ReleasePart | Failure:
    files = await asyncio.to_thread(build_input_files, run.ports.source, part.service, part.commit)
    recipe = await asyncio.to_thread(install_recipe, run.ports, part.service, part.commit)
    inputs_digest = _digest_inputs(run, part, {**files, **(recipe.files if recipe else {})}, recipe)
    if not run.plan.force_rebuild and (found := await _find_reusable(run, part, inputs_digest)):
        await run.record(
            f"{part.name}/build/same",
            EventKind.NOTE,
            _reuse_message(run, found),
            service=part.name,
            chapter=Chapter.BUILD,
        )
        return found
    workdir = run.ports.folders.work / run.plan.deployment / part.name
    await asyncio.to_thread(_fresh_checkout, run, part, workdir)
    installed = await install_by(recipe, run, part.service, part.commit, workdir, Chapter.BUILD)
    if isinstance(installed, Failure):
        return installed
    if failure := await _run_commands(run, part, workdir, installed.variables):
        return failure
    output = workdir / (part.service.build.output or "")
    if not output.is_dir():
        what = f"the build did not create its output folder {part.service.build.output}"
        return Failure(Chapter.BUILD, what, part.name)
    image = ""
    if part.service.build.image:
        try:
            output, image = await asyncio.to_thread(_write_image_record, part.service.build.image, workdir)
        except (ValueError, OSError, KeyError) as error:
            return Failure(Chapter.BUILD, f"the image {part.service.build.image}: {error}", part.name)
    for name in run.ports.platforms[part.service.platform].capabilities(part.service).config_files:
        await asyncio.to_thread(_copy_extra_file, name, output, workdir)
    if installed.environment and is_run_here(run, part.service):
        await asyncio.to_thread((output / ENVIRONMENT_FILE).write_text, installed.environment)
    metadata = await asyncio.to_thread(_artifact_metadata, run, part, files, inputs_digest)
    digest = await asyncio.to_thread(run.ports.artifacts.add, output, metadata)
    if installed.environment:
        await asyncio.to_thread(run.ports.installs.reference, installed.environment, digest)
    await attest(run, part, digest, inputs_digest)
    built = ReleasePart(part.name, part.commit, digest, part.service, image)
    await asyncio.to_thread(run.ports.ledger.add_release_part, run.plan.release, built)
    return built


def _digest_inputs(run: Run, part: ServicePlan, files: Mapping[str, str], recipe: InstallRecipe | None) -> str:
    """Return the digest of all inputs of the build. The commit is not one: equal inputs give an equal digest.

    The release is one if the build may write it into the output, which would name the wrong release if it was reused.
    """
    secrets = {name: run.ports.fingerprint(secret) for name, secret in run.ports.reveal_secrets(part.service).items()}
    config_files = run.ports.platforms[part.service.platform].capabilities(part.service).config_files
    release = run.plan.release if _mentions_release(run, part, files) else ""
    interpreter = recipe.interpreter if recipe else None
    machine = " ".join((platform.machine(), *((interpreter.path, interpreter.version) if interpreter else ())))
    return build_inputs.digest_build_inputs(
        part.service, run.plan.environment, files, secrets, config_files, machine, release
    )


def _mentions_release(run: Run, part: ServicePlan, files: Mapping[str, str]) -> bool:
    command = part.service.build.run or ""
    if not command:
        return False
    mentions = run.ports.source.find_mentions(part.commit, [RELEASE_VARIABLE])[RELEASE_VARIABLE]
    return RELEASE_VARIABLE in command or not mentions.isdisjoint(files)


async def _find_reusable(run: Run, part: ServicePlan, inputs_digest: str) -> ReleasePart | None:
    """Return an artifact built from the same inputs that may be deployed, None if there is none."""
    found = await asyncio.to_thread(_find_intact, run, part, inputs_digest)
    if found and run.plan.attested and not (await verify_artifact(run.ports, found.artifact)).is_verified:
        return None
    if found:
        await asyncio.to_thread(run.ports.ledger.add_release_part, run.plan.release, found)
    return found


def _find_intact(run: Run, part: ServicePlan, inputs_digest: str) -> ReleasePart | None:
    """Return an intact artifact built from the same inputs, at this commit or an ancestor; None if there is none."""
    digest = run.ports.artifacts.find_by_inputs(inputs_digest)
    if digest is None:
        return None
    try:
        run.ports.artifacts.fetch(digest)
    except ArtifactError:
        return None
    commit = str(run.ports.artifacts.metadata(digest, part.name).get("commit") or part.commit)
    if not run.ports.source.has_ancestor(
        part.commit, commit
    ):  # history was rewritten: platforms could not fetch that commit
        return None
    return ReleasePart(part.name, commit, digest, part.service, _image(run, part, digest))


def _image(run: Run, part: ServicePlan, artifact: str) -> str:
    """Return the image that an artifact stands for, "" if it stands for none."""
    return (
        image_variables(run.ports.artifacts.fetch(artifact)).get("ABREAST_IMAGE", "")
        if part.service.build.image
        else ""
    )


def _reuse_message(run: Run, found: ReleasePart) -> str:
    metadata = run.ports.artifacts.metadata(found.artifact, found.service)
    return f"reused from {metadata.get('release')} ({found.commit[:7]}): same inputs"


def _artifact_metadata(run: Run, part: ServicePlan, files: Mapping[str, str], inputs_digest: str) -> dict[str, Any]:
    """Return the metadata stored with an artifact."""
    locks = run.ports.source.read_files(part.commit, [file for file in files if sbom.is_lock_file(file)])
    now = run.ports.now()
    return {
        "service": part.name,
        "commit": part.commit,
        "release": run.plan.release,
        "environment": run.plan.environment,
        "built": now,
        "builder": {
            "abreast": __version__,
            "machine": f"{platform.system()} {platform.machine()}",
            "by": run.plan.author or "?",
        },
        "build": part.service.build.run,
        "inputs": inputs_digest,
        "files": len(files),
        "flags": dict(built_in_flags(part.service)),
        "sbom": sbom.document(part.name, run.plan.release, now, locks),
    }


def _fresh_checkout(run: Run, part: ServicePlan, workdir: Path) -> None:
    if workdir.exists():
        shutil.rmtree(workdir)
    run.ports.source.checkout(part.commit, workdir)


def _copy_extra_file(name: str, output: Path, workdir: Path) -> None:
    """Copy a file or folder into the output, unless it has one, from the nearest folder above that has it."""
    if (output / name).exists():
        return
    folders_above = [folder for folder in output.parents if folder.is_relative_to(workdir)]
    found = next((folder / name for folder in folders_above if (folder / name).exists()), None)
    if found is None:
        return
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    if found.is_dir():
        shutil.copytree(found, output / name, symlinks=True)
    else:
        shutil.copy2(found, output / name)


def _write_image_record(name: str, workdir: Path) -> tuple[Path, str]:
    """Return a folder with the record of an image, which is stored in its place, and the image's name with digest."""
    found = container_image.parse_inspect_output(name, (workdir / container_image.INSPECT_OUTPUT_FILE).read_bytes())
    folder = workdir.with_name(f"{workdir.name}.image")
    folder.mkdir(exist_ok=True)
    (folder / container_image.RECORD_FILE).write_text(json.dumps(dump(found), indent=1))
    return folder, found.pinned


async def _run_commands(run: Run, part: ServicePlan, workdir: Path, variables: Mapping[str, str]) -> Failure | None:
    """Run the build command, then the commands that build and push its image, if any. Returns the first failure."""
    build = part.service.build
    if build.run:
        folder = workdir / part.service.folder
        if failure := await _run_build_command(run, part, folder, build.run, variables):
            return failure
    if build.image is None:
        return None
    text = await _image_commands(run, part, build.image, workdir, variables)
    return await _run_build_command(run, part, workdir, text, variables)


async def _image_commands(run: Run, part: ServicePlan, name: str, workdir: Path, variables: Mapping[str, str]) -> str:
    async def succeeds(text: str) -> bool:
        return await _run_build_command(run, part, workdir, text, variables) is None

    build = part.service.build
    images = await asyncio.to_thread(earlier_images, run.ports.ledger, run.plan.environment, part.name, name)
    options = await cache_options(name, images, succeeds, build_again=run.plan.force_rebuild)
    context = build.output or part.service.folder or "."
    return container_image.build_and_push_commands(
        name, build.dockerfile, context, run.plan.release, part.commit, options
    )


async def _run_build_command(
    run: Run, part: ServicePlan, folder: Path, text: str, variables: Mapping[str, str]
) -> Failure | None:
    service = replace(part.service, flags=built_in_flags(part.service))
    env, secrets = child_environment(run.ports, service, run.plan.environment, run.plan.release, part.commit)
    command = Command(
        text=text,
        cwd=folder,
        log=run.ports.folders.logs / run.plan.deployment / f"{part.name}.build.log",
        timeout=part.service.build.timeout,
        env={**run.ports.inherited_environment, **env, **variables},
        secrets=secrets,
    )
    ended = await run.ports.run_command(command, run.halt.wait())
    if not ended.why:
        return None
    if stopping := run.halt.stop_failure(Chapter.BUILD, part.name):
        return stopping
    return Failure(Chapter.BUILD, f"`{text}`: {ended.why}", part.name, ended.excerpt)
