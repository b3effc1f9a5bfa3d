"""Commands of a service beside its ``run``: where they run, and with which variables."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from abreast.artifacts.interface import ArtifactStore
from abreast.core import container_image
from abreast.core.model import Service
from abreast.core.plan import ServicePlan
from abreast.core.secrets import looks_secret
from abreast.deploy.runtime.child_environment import child_environment, secret_parts
from abreast.deploy.runtime.run import Run


def command_environment(run: Run, part: ServicePlan) -> tuple[dict[str, str], frozenset[str]]:
    """Return the variables that the service's processes get, and the names of the secret ones.

    Creates its data folder, if it has one on this machine. Raises UsageError that names every secret without a value.
    """
    env, secrets = child_environment(
        run.ports, part.service, run.plan.environment, run.plan.release, run.candidate_commit(part)
    )
    data = run.ports.platforms[part.service.platform].capabilities(part.service).data
    if data is None:
        return {**run.ports.inherited_environment, **env}, secrets
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {**run.ports.inherited_environment, **env, "ABREAST_DATA": str(data)}, secrets


def secret_names(service: Service, env: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables of a process, also of one on a copy of the database, that are secret."""
    database = service.database
    names = {*service.secrets, *(database.rehearsal_env if database else {})}
    if database and looks_secret("", env.get(database.variable, "")):
        names.add(database.variable)
    if database:
        names |= secret_parts(database)
    return frozenset(names & env.keys())


def copy_artifact(artifacts: ArtifactStore, artifact: str, workdir: Path) -> None:
    """Copy an artifact into a folder of a command's own. Raises ArtifactError if it is gone or was altered."""
    if workdir.exists():
        shutil.rmtree(workdir)
    shutil.copytree(artifacts.fetch(artifact), workdir, symlinks=True)


def image_variables(workdir: Path) -> dict[str, str]:
    """Return ``ABREAST_IMAGE`` if the artifact is an image, so that a command can run in it."""
    record_file = workdir / container_image.RECORD_FILE
    return (
        {"ABREAST_IMAGE": container_image.parse_record(record_file.read_bytes()).pinned} if record_file.exists() else {}
    )


async def wait_forever() -> str:
    """Wait for ever, as the halt of a command that only its timeout may stop."""
    await asyncio.Event().wait()
    return ""
