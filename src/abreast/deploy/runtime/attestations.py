"""What is known of the attestations of artifacts, and what a deployment makes of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from abreast.core.attestations import Attestation, AttestationVerdict
from abreast.core.errors import ArtifactError, RefusedError
from abreast.core.plan import Action, Plan, ServicePlan
from abreast.deploy.runtime.ports import Ports


async def verify_artifact(ports: Ports, digest: str) -> Attestation:
    """Return the attestation of a stored artifact; unknown if the store cannot be asked."""
    try:
        bundle = await asyncio.to_thread(ports.artifacts.attestation, digest)
    except ArtifactError as error:
        return Attestation(AttestationVerdict.UNKNOWN, error.what)
    return await ports.attestor.verify(digest, bundle)


async def with_attestations(ports: Ports, plan: Plan) -> Plan:
    """Return the plan with the attestation of each artifact that it deploys and that is built already."""
    parts = await asyncio.gather(*(_with_attestation(ports, part) for part in plan.services))
    return replace(plan, services=tuple(parts))


async def _with_attestation(ports: Ports, part: ServicePlan) -> ServicePlan:
    if part.action is not Action.DEPLOY or not part.artifact:
        return part
    if not await asyncio.to_thread(ports.artifacts.has, part.artifact):
        return part  # it is built again
    return replace(part, attestation=await verify_artifact(ports, part.artifact))


def is_in_workflow(ports: Ports) -> bool:
    """Whether this is a run of GitHub Actions. Elsewhere nothing is attested."""
    return bool(ports.ci_run and ports.ci_run.provider == "github-actions")


def refuse_unattested(ports: Ports, plan: Plan, *, is_deploying: bool) -> Iterator[RefusedError]:
    """Yield why artifacts may not be deployed, where the environment takes attested ones only.

    A job that only plans need not be able to sign: the one that deploys is another.
    """
    for part in plan.rollouts if plan.attested else ():
        if part.attestation is None:
            if (is_deploying or not is_in_workflow(ports)) and (obstacle := ports.attestor.obstacle()):
                yield unattested_error(plan.environment, part.name, f"not attested: {obstacle}")
        elif not part.attestation.is_verified:
            yield unattested_error(plan.environment, part.name, str(part.attestation))


def unattested_error(environment: str, service: str, found: str) -> RefusedError:
    """Return the error for an artifact that may not be deployed."""
    return RefusedError(
        f"{service}: {found}",
        need=f"an artifact that a workflow of this repository built and attested (`attested: true` of {environment})",
        next="deploy with the workflow at GitHub, or a release that it built: abreast deploy --release …",
    )
