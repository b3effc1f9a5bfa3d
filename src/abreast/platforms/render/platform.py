"""The Render platform: nothing can be up there without users, so a service is deployed, and goes live, in the turn."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.diagnostics import Diagnostic
from abreast.core.model import Service, Version
from abreast.platforms.cloud.api_client import connect
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    Reporter,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.render.api_deployer import ApiDeployer
from abreast.platforms.render.client import RENDER, RenderClient
from abreast.platforms.render.hook_deployer import HookDeployer, HookLookup
from abreast.platforms.render.settings import RenderSettings

POLL_INTERVAL, MAX_POLLERS = 3.0, 15
"""Seconds between two looks at a deploy, at last, and how many are followed so: 300 of the 400 requests a minute."""


class RenderPlatform(Platform):
    """Deploys commits and images to services that are there; Render builds the commits."""

    name = "render"

    def __init__(self, render: RenderClient, hooks: HookLookup, poll_interval: float = POLL_INTERVAL) -> None:
        pace = PollBudget(poll_interval, MAX_POLLERS)
        self._api_deployer = ApiDeployer(render, pace)
        self._hook_deployer = HookDeployer(hooks, pace)

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates and no common moment."""
        return self._deployer_for(service).capabilities(service)

    async def live_version(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it, where a key shows it."""
        return await self._deployer_for(service).live_version(service)

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Tell what Render says of the service, or the service of itself."""
        return await self._deployer_for(service).diagnose(service)

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        return await self._deployer_for(request.service).stage(request, report)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Deploy each version and follow it until it is live."""
        await asyncio.gather(
            *(self._deployer_for(move.service).switch_traffic(move, move.target, report) for move in moves)
        )

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Nothing: Render ends the old version itself, and keeps its build to be gone back to."""

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell of each version whether it is what its service runs."""
        return {version.id: await self._deployer_for(version.service).observe(version) for version in versions}

    def _deployer_for(self, service: Service) -> ApiDeployer | HookDeployer:
        return self._hook_deployer if service.settings.get("hook") else self._api_deployer


def _create(context: PlatformContext) -> RenderPlatform:
    return RenderPlatform(RenderClient(connect(RENDER, context)), context.secret)


PLUGIN = PlatformPlugin(RenderSettings, _create)
