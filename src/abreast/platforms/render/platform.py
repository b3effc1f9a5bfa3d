"""The Render platform: nothing can be up there without users, so a service is deployed, and goes live, in the turn."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.model import Service, Version
from abreast.core.remarks import Remark
from abreast.platforms.cloud.api import connect
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    StageRequest,
    Tell,
    TrafficMove,
    VersionRef,
)
from abreast.platforms.render.client import RENDER, Render
from abreast.platforms.render.hook import Hooks, WithHook
from abreast.platforms.render.key import WithKey
from abreast.platforms.render.settings import RenderSettings

PAUSE, ROOM = 3.0, 15
"""Seconds between two looks at a deploy, at last, and how many are followed so: 300 of the 400 requests a minute."""


class RenderPlatform(Platform):
    """Deploys commits and images to services that are there; Render builds the commits."""

    name = "render"

    def __init__(self, render: Render, hooks: Hooks, pause: float = PAUSE) -> None:
        pace = Pace(pause, ROOM)
        self._key = WithKey(render, pace)
        self._hook = WithHook(hooks, pace)

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates and no common moment."""
        return self._of(service).capabilities(service)

    async def live_version(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it, where a key shows it."""
        return await self._of(service).live_version(service)

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell what Render says of the service, or the service of itself."""
        return await self._of(service).diagnose(service)

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        return await self._of(order.service).stage(order, tell)

    async def switch_traffic(self, moves: Sequence[TrafficMove], tell: Tell) -> None:
        """Deploy each version and follow it until it is live."""
        await asyncio.gather(*(self._of(move.service).switch_traffic(move, move.target, tell) for move in moves))

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Nothing: Render ends the old version itself, and keeps its build to be gone back to."""

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell of each version whether it is what its service runs."""
        return {version.id: await self._of(version.service).observe(version) for version in versions}

    def _of(self, service: Service) -> WithKey | WithHook:
        return self._hook if service.settings.get("hook") else self._key


def _create(context: PlatformContext) -> RenderPlatform:
    return RenderPlatform(Render(connect(RENDER, context)), context.secret)


PLUGIN = PlatformPlugin(RenderSettings, _create)
