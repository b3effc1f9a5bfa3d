"""The Render platform: nothing can be up there without users, so a service is deployed, and goes live, in the turn."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.model import Service, Version
from abreast.core.remarks import Remark
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Abilities, Move, Named, Order, Platform, Sighting, Tell
from abreast.platforms.render.client import Render
from abreast.platforms.render.hook import Hooks, WithHook
from abreast.platforms.render.key import WithKey

PAUSE, ROOM = 3.0, 15
"""Seconds between two looks at a deploy, at last, and how many are followed so: 300 of the 400 requests a minute."""


class RenderPlatform(Platform):
    """Deploys commits and images to services that are there; Render builds the commits."""

    name = "render"

    def __init__(self, render: Render, hooks: Hooks, pause: float = PAUSE) -> None:
        pace = Pace(pause, ROOM)
        self._key = WithKey(render, pace)
        self._hook = WithHook(hooks, pace)

    def abilities(self, service: Service) -> Abilities:
        """No candidates and no common moment."""
        return self._of(service).abilities(service)

    async def present(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it, where a key shows it."""
        return await self._of(service).present(service)

    async def examine(self, service: Service) -> list[Remark]:
        """Tell what Render says of the service, or the service of itself."""
        return await self._of(service).examine(service)

    async def stage(self, order: Order, tell: Tell) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        return await self._of(order.service).stage(order, tell)

    async def turn(self, moves: Sequence[Move], tell: Tell) -> None:
        """Deploy each version and follow it until it is live."""
        await asyncio.gather(*(self._of(move.service).turn(move, move.to, tell) for move in moves))

    async def retire(self, versions: Sequence[Named], drain: float) -> None:
        """Nothing: Render ends the old version itself, and keeps its build to be gone back to."""

    async def look(self, versions: Sequence[Named]) -> Mapping[str, Sighting]:
        """Tell of each version whether it is what its service runs."""
        return {version.id: await self._of(version.service).look(version) for version in versions}

    async def down(self) -> None:
        """Leave all as it is: nothing of it runs on this machine."""

    def _of(self, service: Service) -> WithKey | WithHook:
        return self._hook if service.settings.get("hook") else self._key
