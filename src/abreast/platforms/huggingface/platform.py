"""The Hugging Face platform: a service has one Space, or two in turn."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.model import Live, Service, Version
from abreast.core.remarks import Remark
from abreast.platforms.cloud.api import connect
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.huggingface.client import HUGGING_FACE, Hub
from abreast.platforms.huggingface.one import OneSpace
from abreast.platforms.huggingface.pair import TwoSpaces
from abreast.platforms.huggingface.running import Running
from abreast.platforms.huggingface.settings import HuggingFaceSettings
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

PAUSE, ROOM = 2.0, 5
"""Seconds between two looks at a Space, at last, and how many are followed so: 150 of the 200 requests a minute."""


class HuggingFacePlatform(Platform):
    """Gives Spaces a new tree; each commit bears its version's id as title."""

    name = "huggingface"

    def __init__(self, hub: Hub, pause: float = PAUSE) -> None:
        running = Running(hub, Pace(pause, ROOM))
        self._one = OneSpace(hub, running)
        self._two = TwoSpaces(hub, running)

    def capabilities(self, service: Service) -> Capabilities:
        """With one Space no candidates and always a version; with two, an address for each version."""
        return self._of(service).capabilities

    async def live_version(self, service: Service) -> Version | None:
        """Return what one Space has on its main branch, whoever put it there."""
        return await self._of(service).live_version(service)

    async def reserve_url(self, service: Service, previous: Live | None) -> str:
        """Return the address of that of two Spaces which is idle."""
        return await self._of(service).reserve_url(service, previous)

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell how the Spaces get on, and whether the token may change them."""
        return await self._of(service).diagnose(service)

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        """Send the tree: to a branch that waits, or to the Space that is idle."""
        return await self._of(order.service).stage(order, tell)

    async def switch_traffic(self, moves: Sequence[TrafficMove], tell: Tell) -> None:
        """See that each Space runs its version."""
        await asyncio.gather(
            *(self._of(move.service).switch_traffic(move, move.target, tell) for move in moves if move.target)
        )

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Take away branches that waited; pause Spaces that have nothing for users, once ``drain`` is over."""
        if any(self.capabilities(version.service).address_per_version for version in versions):
            await asyncio.sleep(drain)
        for version in versions:
            await self._of(version.service).retire(version)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell of each version whether it is what its Space has on the main branch, and runs."""
        return {version.id: await self._of(version.service).observe(version) for version in versions}

    def _of(self, service: Service) -> OneSpace | TwoSpaces:
        return self._two if service.settings.get("standby") else self._one


def _create(context: PlatformContext) -> HuggingFacePlatform:
    return HuggingFacePlatform(Hub(connect(HUGGING_FACE, context)))


PLUGIN = PlatformPlugin(HuggingFaceSettings, _create)
