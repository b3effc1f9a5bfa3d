"""Install a service's dependencies: those kept for the same lock files, or anew."""

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from abreast.commands.interface import Command, CommandResult
from abreast.core.errors import ArtifactError
from abreast.core.events import EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter, Failure, Service
from abreast.deploy.runtime.child_environment import own_variables
from abreast.deploy.runtime.install_recipe import InstallRecipe, install_recipe
from abreast.deploy.runtime.run import Run
from abreast.machine.threads import run_in_thread
from abreast.platforms.interface import RunsHere
from abreast.source.changed_files import build_input_files

ENVIRONMENT_FILE = ".abreast-environment"
"""A file of an artifact: the key of the Python environment that it runs in."""

LOCK_RETRY_INTERVAL = 0.1

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed: the ``variables`` by which commands find it, and the key of a Python environment, if any."""

    variables: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""


@dataclass(frozen=True, slots=True)
class _Install:
    """One installation: of a service's dependencies, by a recipe, under a key, into a checkout."""

    run: Run
    service: Service
    recipe: InstallRecipe
    key: str
    checkout: Path
    chapter: Chapter


async def install(run: Run, service: Service, commit: str, checkout: Path, chapter: Chapter) -> Installed | Failure:
    """Install a service's dependencies into a checkout of a commit.

    Raises UsageError if the commit asks for what this machine does not have.
    """
    recipe = await asyncio.to_thread(install_recipe, run.ports, service, commit)
    return await install_by(recipe, run, service, commit, checkout, chapter)


async def install_by(
    recipe: InstallRecipe | None, run: Run, service: Service, commit: str, checkout: Path, chapter: Chapter
) -> Installed | Failure:
    """Install a service's dependencies by the recipe that is known already, None if it has none."""
    if recipe is None:
        return Installed()
    own = (
        await asyncio.to_thread(build_input_files, run.ports.source, service, commit) if recipe.inputs.own_code else {}
    )
    is_single_use = bool(recipe.inputs.unlocked) or run.plan.force_rebuild
    versions = await _tool_versions(run, service, recipe, checkout, chapter)
    key = recipe.key(versions, service.env, own, run.plan.release if is_single_use else "")
    for note in recipe.notes:
        await _note(run, service, chapter, note)
    return await _install_once(_Install(run, service, recipe, key, checkout, chapter))


async def artifact_variables(run: Run, service: Service, commit: str, artifact: Path) -> Mapping[str, str]:
    """Return the variables with which commands of an artifact find the Python environment that it was built with.

    An environment that is gone is made again from the commit. Raises ArtifactError if that fails.
    """
    file = artifact / ENVIRONMENT_FILE
    if service.python is None or not file.is_file() or not _KEY.fullmatch(key := file.read_text().strip()):
        return {}
    if not run.ports.installs.is_complete(key):
        checkout = run.ports.folders.work / run.plan.deployment / f"{service.name}.environment"
        await asyncio.to_thread(shutil.rmtree, checkout, ignore_errors=True)
        await asyncio.to_thread(run.ports.source.checkout, commit, checkout)
        recipe = await asyncio.to_thread(install_recipe, run.ports, service, commit)
        assert recipe
        made = await _install_once(_Install(run, service, recipe, key, checkout, Chapter.STAGE))
        if isinstance(made, Failure):
            raise ArtifactError(f"its Python environment is gone, and cannot be made again: {made.message}")
    return _variables(run, service, key)


def is_run_here(run: Run, service: Service) -> bool:
    """Whether a service's versions run on this machine, so that they need an environment here."""
    return bool(service.run) and isinstance(run.ports.platforms[service.platform], RunsHere)


async def _install_once(work: _Install) -> Installed | Failure:
    """Install, unless that is done or being done: then wait for it, and use its result."""
    installs = work.run.ports.installs
    while True:
        with installs.lock(work.key) as free:
            if free:
                return await _restore_or_install(work)
        if stopping := work.run.halt.stop_failure(work.chapter, work.service.name):
            return stopping
        await asyncio.sleep(LOCK_RETRY_INTERVAL)


async def _restore_or_install(work: _Install) -> Installed | Failure:
    run, installs = work.run, work.run.ports.installs
    if await run_in_thread(installs.is_complete, work.key):
        await run_in_thread(installs.restore, work.key, work.checkout)
        await _note(run, work.service, work.chapter, "dependencies are those of an earlier build: same lock files")
    elif failure := await _install_anew(work):
        return failure
    if work.recipe.interpreter is None:
        return Installed()
    return Installed(_variables(run, work.service, work.key), work.key)


async def _install_anew(work: _Install) -> Failure | None:
    ports, recipe, key = work.run.ports, work.recipe, work.key
    await run_in_thread(ports.installs.begin, key, work.checkout, recipe.inputs.files)
    if recipe.interpreter:
        await run_in_thread(ports.python.create, recipe.interpreter, ports.installs.python_folder(key))
    if recipe.command:
        ended = await _run_command(work, recipe.command)
        if ended.why:
            stopping = work.run.halt.stop_failure(work.chapter, work.service.name)
            what = f"`{recipe.command}`: {ended.why}"
            return stopping or Failure(work.chapter, what, work.service.name, ended.excerpt)
    if why := await run_in_thread(_unusable_reason, work):
        return Failure(work.chapter, f"`{recipe.command}` {why}", work.service.name)
    changed = await run_in_thread(ports.installs.changed_files, key, work.checkout)
    if changed:
        what = (
            f"`{recipe.command}` runs in each build: it changed {changed[0]}, so its result is not that of the commit"
        )
        await _note(work.run, work.service, work.chapter, what)
    elif recipe.interpreter or not recipe.inputs.unlocked:
        await run_in_thread(ports.installs.complete, key, work.checkout)
    return None


def _unusable_reason(work: _Install) -> str:
    """Return why a Python environment cannot be used where the service runs, "" if it can."""
    if work.recipe.interpreter is None:
        return ""
    ports = work.run.ports
    if changed := ports.installs.changed_files(work.key, work.checkout):
        return f"changed {changed[0]}; needed: a lock file that matches, committed"
    folder = ports.installs.python_folder(work.key)
    if file := ports.python.file_that_mentions(folder, work.checkout):
        return (
            f"left an environment whose {file} leads to the build folder, which is removed; needed: an install that "
            "copies the code (no -e, no --editable), or leaves it out (--no-root, --no-self)"
        )
    return ""


async def _run_command(work: _Install, text: str) -> CommandResult:
    """Run the install command, with the service's variables: they may hold the credentials of a registry.

    git finds no repository above the checkout: husky 7 and before would set up hooks in the one of whoever deploys.
    """
    ports, service = work.run.ports, work.service
    own, secrets = own_variables(ports, service)
    python = _variables(work.run, service, work.key) if work.recipe.interpreter else {}
    command = Command(
        text=text,
        cwd=work.checkout / service.folder,
        log=ports.folders.logs / work.run.plan.deployment / f"{service.name}.install.log",
        timeout=service.build.timeout,
        env={
            **ports.inherited_environment,
            "GIT_CEILING_DIRECTORIES": str(work.checkout.parent),
            **work.recipe.inputs.variables,
            **own,
            **python,
            **ports.installs.mark(work.key),
        },
        secrets=secrets,
    )
    return await ports.run_command(command, work.run.halt.wait())


def _variables(run: Run, service: Service, key: str) -> Mapping[str, str]:
    path = service.env.get("PATH") or run.ports.inherited_environment.get("PATH", "")
    return run.ports.python.variables(run.ports.installs.python_folder(key), path)


async def _tool_versions(run: Run, service: Service, recipe: InstallRecipe, checkout: Path, chapter: Chapter) -> str:
    """Return the versions of the programs that the command needs, as they are in the checkout."""
    if not recipe.tools:
        return ""
    command = Command(
        text="; ".join(f"{program} --version 2>/dev/null" for program in recipe.tools),
        cwd=checkout / service.folder,
        log=run.ports.folders.work / run.plan.deployment / f"{service.name}.{chapter}.versions.log",
        timeout=service.build.timeout,
        env={**run.ports.inherited_environment, **service.env},
    )
    return "\n".join((await run.ports.run_command(command, run.halt.wait())).tail)


async def _note(run: Run, service: Service, chapter: Chapter, text: str) -> None:
    key = f"{service.name}/install/{chapter}/{text}"
    await run.record(key, EventKind.NOTE, text, service=service.name, chapter=chapter)
