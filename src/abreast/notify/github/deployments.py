"""A GitHub deployment for each service that gets a new version, named ``ENVIRONMENT/SERVICE``."""

from collections.abc import Sequence
from contextlib import suppress

from abreast.core.plan import ServicePlan
from abreast.core.states import DeploymentState
from abreast.github.client import GitHubClient
from abreast.github.resources import Deployment, NewDeployment, NewStatus
from abreast.github.resources import DeploymentState as State
from abreast.notify.github.part import Part
from abreast.notify.github.wording import ServiceReport, service_report
from abreast.notify.interface import SentMessages, Snapshot
from abreast.provider_api.api_client import NotFoundError

PRODUCTION = "production"


class Deployments(Part):
    """Keeps the deployments at GitHub as the snapshot says.

    A job of a workflow with ``environment: production`` makes a deployment of that name, so these have others. Each
    carries the id of abreast's deployment, by which it is found again if its own id was not recorded.
    """

    name = "deployments"
    permission = "deployments: write"

    def __init__(self) -> None:
        self._states: dict[int, State | None] = {}

    async def update(self, github: GitHubClient, snapshot: Snapshot, sent: SentMessages) -> None:
        """Create what is missing, and add the statuses that are news."""
        if snapshot.is_removed:
            await self._end_all(github, snapshot, snapshot.plan.services)
            return
        for part in snapshot.plan.rollouts:
            made, report = await self._deployment(github, snapshot, part, sent), service_report(snapshot, part)
            await self._set(github, made, report, snapshot.plan.run_url)
            if snapshot.state.is_final:
                await self._settle_others(github, snapshot, part, made, report)
        if snapshot.state is DeploymentState.SUCCEEDED:
            await self._end_all(github, snapshot, snapshot.plan.removals)

    async def _deployment(self, github: GitHubClient, snapshot: Snapshot, part: ServicePlan, sent: SentMessages) -> int:
        """Return the id of a service's deployment: the recorded one, the one that was made, or a new one."""
        key = f"deployment/{part.name}"
        if recorded := sent.find(key):
            return int(recorded)
        environment, plan = self._environment(snapshot, part), snapshot.plan
        listed = await github.list_deployments(part.commit, environment)
        made = next((each for each in listed if each.payload == plan.deployment), None)
        if made is None:
            production, is_preview = plan.environment == PRODUCTION, bool(plan.base)
            what = f"{plan.release} {plan.kind}"
            new = NewDeployment(part.commit, environment, what, production, is_preview, plan.deployment)
            made = await github.create_deployment(new)
            self._states[made.id] = None
        await sent.record(key, str(made.id))
        return made.id

    async def _set(self, github: GitHubClient, id: int, report: ServiceReport, run_url: str) -> None:
        """Add a status, unless the deployment has that state."""
        if await self._state(github, id) is report.state:
            return
        self._states.pop(id)  # unknown, should the answer be lost
        await github.add_status(id, NewStatus(report.state, report.text, report.url, run_url))
        self._states[id] = report.state

    async def _state(self, github: GitHubClient, id: int) -> State | None:
        if id not in self._states:
            statuses = await github.list_statuses(id)
            self._states[id] = statuses[0].state if statuses else None
        return self._states[id]

    async def _settle_others(
        self, github: GitHubClient, snapshot: Snapshot, part: ServicePlan, id: int, report: ServiceReport
    ) -> None:
        """End earlier deployments of a service that went live; after a failure, the live one is live again.

        GitHub ends earlier ones by itself, but not those of production.
        """
        others = await github.latest_deployments(self._environment(snapshot, part))
        earlier = [other for other in others if other.id < id]
        live = snapshot.live.get(part.name)
        for other in earlier:
            if report.state is State.SUCCESS:
                await self._end(github, other)
            elif live and other.payload == live.deployment:
                text = f"{live.release} is live again"
                await self._set(
                    github, other.id, ServiceReport(State.SUCCESS, text, live.version.url), snapshot.plan.run_url
                )

    async def _end_all(self, github: GitHubClient, snapshot: Snapshot, parts: Sequence[ServicePlan]) -> None:
        """End the deployments of services that are not live any more."""
        for part in parts:
            for other in await github.latest_deployments(self._environment(snapshot, part)):
                await self._end(github, other)

    async def _end(self, github: GitHubClient, other: Deployment) -> None:
        """End a deployment that was live."""
        self._states.pop(other.id, None)  # GitHub may have ended it by itself
        with suppress(NotFoundError):
            if await self._state(github, other.id) is State.SUCCESS:
                await self._set(github, other.id, ServiceReport(State.INACTIVE, "no longer live"), "")

    def _environment(self, snapshot: Snapshot, part: ServicePlan) -> str:
        return f"{snapshot.plan.environment}/{part.name}"
