"""A deployment record of each artifact that goes live, which GitHub keeps for organizations.

https://docs.github.com/rest/orgs/artifact-metadata
"""

from collections.abc import Iterator

from abreast.core.states import DeploymentState
from abreast.github.client import GitHubClient
from abreast.github.resources import DeploymentRecord, RecordStatus
from abreast.notify.github.part import Part
from abreast.notify.interface import SentMessages, Snapshot

ORGANIZATION = "Organization"


class RecordsPart(Part):
    """Keeps the record ``PROJECT/SERVICE`` of an environment. A record of the same name replaces the earlier one."""

    name = "records"
    permission = "artifact-metadata: write"

    async def update(self, github: GitHubClient, snapshot: Snapshot, sent: SentMessages) -> None:
        """Record what went live, and what does not run any more, when the deployment has ended."""
        if not snapshot.state.is_final or sent.find(f"refused/{self.name}") is not None:
            return
        news = [record for record in deployment_records(snapshot) if sent.find(_key(record)) is None]
        if not news or await self._owner_type(github, sent) != ORGANIZATION:
            return
        for record in news:
            await github.put_deployment_record(record)
            await sent.record(_key(record))

    async def _owner_type(self, github: GitHubClient, sent: SentMessages) -> str:
        if (known := sent.find("owner")) is None:
            known = (await github.get_repository()).owner.type
            await sent.record("owner", known)
        return known


def deployment_records(snapshot: Snapshot) -> Iterator[DeploymentRecord]:
    """Yield the records that an ended deployment changes: of services that it put live, and of those it removed."""
    plan = snapshot.plan
    for part in plan.rollouts:
        live = snapshot.live.get(part.name)
        if live and live.deployment == plan.deployment:
            yield _record(snapshot, part.name, live.artifact, live.release, live.platform, RecordStatus.DEPLOYED)
    for part in plan.removals if snapshot.state is DeploymentState.SUCCEEDED else ():
        if (gone := part.previous) and part.name not in snapshot.live:
            yield _record(snapshot, part.name, gone.artifact, gone.release, gone.platform, RecordStatus.DECOMMISSIONED)


def _record(
    snapshot: Snapshot, service: str, digest: str, release: str, platform: str, status: RecordStatus
) -> DeploymentRecord:
    name, environment = f"{snapshot.plan.project}/{service}", snapshot.plan.environment
    return DeploymentRecord(name, digest, release, status, environment, name, {"platform": platform})


def _key(record: DeploymentRecord) -> str:
    return f"record/{record.name}/{record.status}"
