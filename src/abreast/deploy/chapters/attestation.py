"""Attest what was built here, and verify an artifact before it is deployed."""

import asyncio
from pathlib import Path

from abreast.attestations.interface import AttestationError, BuiltArtifact
from abreast.core import container_image
from abreast.core.attestations import Attestation, AttestationVerdict
from abreast.core.codec import dump
from abreast.core.events import EventKind
from abreast.core.model import Chapter, Failure
from abreast.core.plan import ServicePlan
from abreast.deploy.runtime.attestations import is_in_workflow, unattested_error, verify_artifact
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart


async def attest(run: Run, part: ServicePlan, digest: str, inputs: str) -> None:
    """Sign that this process built the artifact, and keep that beside it and at GitHub. Fails nothing itself."""
    attestor, artifacts = run.ports.attestor, run.ports.artifacts
    if obstacle := attestor.obstacle():
        run.unsigned[part.name] = obstacle
        return
    folder = await asyncio.to_thread(artifacts.fetch, digest)
    built = BuiltArtifact(
        {part.name: digest, **await asyncio.to_thread(_image_subject, folder)}, part.name, run.plan.release,
        run.plan.environment, part.commit, part.service.build.run or "", inputs, run.ports.now(),
    )  # fmt: skip
    try:
        bundle = await attestor.sign(built)
    except AttestationError as error:
        run.unsigned[part.name] = error.what
        return
    await asyncio.to_thread(artifacts.attach_attestation, digest, bundle)
    try:
        await attestor.publish(bundle)
    except AttestationError as error:
        text = f"GitHub did not store its attestation: {error.what} (needed: {error.need})"
        await run.record(
            f"{part.name}/build/unpublished", EventKind.NOTE, text, service=part.name, chapter=Chapter.BUILD
        )


async def check_attestation(run: Run, built: ReleasePart) -> Failure | None:
    """Record what is known of the attestation of an artifact. Returns the failure if it may not be deployed."""
    found = await verify_artifact(run.ports, built.artifact)
    if found.verdict is AttestationVerdict.MISSING:
        found = Attestation(found.verdict, run.unsigned.get(built.service, ""))
    if found.verdict is not AttestationVerdict.MISSING or _is_expected(run):
        await run.record(
            f"{built.service}/build/attestation", EventKind.NOTE, str(found),
            service=built.service, chapter=Chapter.BUILD, data={"attestation": dump(found)},
        )  # fmt: skip
    if run.plan.attested and not found.is_verified:
        error = unattested_error(run.plan.environment, built.service, str(found))
        return Failure(Chapter.BUILD, str(error), built.service)
    return None


def _is_expected(run: Run) -> bool:
    """Whether somebody may wonder that an artifact is not attested: elsewhere none is."""
    return run.plan.attested or is_in_workflow(run.ports)


def _image_subject(folder: Path) -> dict[str, str]:
    """Return the name and the digest of the image that an artifact stands for, if it is one."""
    try:
        pinned = container_image.parse_record((folder / container_image.RECORD_FILE).read_bytes()).pinned
    except (OSError, ValueError, KeyError):
        return {}
    name, _, digest = pinned.partition("@")
    return {name: digest}
