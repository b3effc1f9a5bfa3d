"""What became of a release in the environment that tries it, for whoever wants to promote it."""

import asyncio
from collections.abc import Sequence

from abreast.core.errors import UsageError
from abreast.core.plan import DeploymentKind
from abreast.core.promotion import TriedRelease
from abreast.core.rollback import release_number
from abreast.core.states import DeploymentState
from abreast.deploy.live_probes import live_faults
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import Deployment, Ledger

MAX_DEPLOYMENTS = 1000
"""How many deployments back a release is looked for."""


async def tried_release(ports: Ports, source: str, version: str, deployment: str) -> TriedRelease:
    """Return what became of a release in the environment ``source``; those of its services that are live are probed.

    ``version`` and ``deployment`` select it; "" for both is what was deployed there last. Raises UsageError if the
    deployment put no release there, if the two disagree, or if nothing was deployed there.
    """
    ledger = ports.ledger
    succeeded = await asyncio.to_thread(_succeeded, ledger, source)
    chosen = await asyncio.to_thread(_chosen_version, ledger, succeeded, source, version, deployment)
    release = await asyncio.to_thread(ledger.release, chosen)
    live_since, taken_back = _history(succeeded, release.version)
    live = await asyncio.to_thread(ledger.live_services, source)
    artifacts = {name: part.artifact for name, part in release.parts.items()}
    probed = [part for name, part in live.items() if part.artifact == artifacts.get(name)]
    unhealthy = [f"{name}: {fault}" for name, fault in (await live_faults(ports, probed)).items()]
    return TriedRelease(release.version, live_since, taken_back, unhealthy, release.created)


def _succeeded(ledger: Ledger, environment: str) -> list[Deployment]:
    """Return the deployments that put a release into an environment, oldest first."""
    found = ledger.deployments(environment, MAX_DEPLOYMENTS)
    return [each for each in reversed(found) if each.kind.is_releasing and each.state is DeploymentState.SUCCEEDED]


def _chosen_version(ledger: Ledger, succeeded: Sequence[Deployment], source: str, version: str, deployment: str) -> str:
    if deployment:
        named = ledger.deployment(deployment)
        if named.environment != source or not named.kind.is_releasing:
            what = f"deployment {named.id} is a {named.kind} of {named.environment}"
            raise UsageError(what, need=f"a deployment to {source}", next=f"abreast history --env {source}")
        if version and version != named.release:
            raise UsageError(f"deployment {named.id} is of {named.release}, not of {version}", need="one of the two")
        return named.release
    if version:
        return version
    if not succeeded:
        raise UsageError(f"nothing is live in {source} yet", next=f"abreast deploy --env {source}")
    return succeeded[-1].release


def _history(succeeded: Sequence[Deployment], version: str) -> tuple[str, str]:
    """Return since when a release has been good in the environment, and how it was taken back, "" for each if not."""
    live_since = taken_back = ""
    for deployment in succeeded:
        if deployment.release == version:
            live_since = live_since if live_since and not taken_back else deployment.finished or deployment.started
            taken_back = ""
        elif live_since and _takes_back(deployment, version):
            reason = f", {deployment.reason}" if deployment.reason else ""
            taken_back = f"rolled back to {deployment.release} by {deployment.author or '?'}{reason}"
    return live_since, taken_back


def _takes_back(deployment: Deployment, version: str) -> bool:
    is_older = release_number(deployment.release) < release_number(version)
    return deployment.kind is DeploymentKind.ROLLBACK and is_older
