"""The Hugging Face platform: a service has one Space, or two in turn."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.model import Live, Service, Version
from abreast.core.remarks import Remark
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.huggingface.client import Hub
from abreast.platforms.huggingface.one import OneSpace
from abreast.platforms.huggingface.pair import TwoSpaces
from abreast.platforms.huggingface.running import Running
from abreast.platforms.interface import Abilities, Move, Named, Order, Platform, Sighting, Tell

PAUSE, ROOM = 2.0, 5
"""Seconds between two looks at a Space, at last, and how many are followed so: 150 of the 200 requests a minute."""


class HuggingFacePlatform(Platform):
    """Gives Spaces a new tree; each commit bears its version's id as title."""

    name = "huggingface"

    def __init__(self, hub: Hub, pause: float = PAUSE) -> None:
        running = Running(hub, Pace(pause, ROOM))
        self._one = OneSpace(hub, running)
        self._two = TwoSpaces(hub, running)

    def abilities(self, service: Service) -> Abilities:
        """With one Space no candidates and always a version; with two, an address for each version."""
        return self._of(service).abilities

    async def present(self, service: Service) -> Version | None:
        """Return what one Space has on its main branch, whoever put it there."""
        return await self._of(service).present(service)

    async def place(self, service: Service, previous: Live | None) -> str:
        """Return the address of that of two Spaces which is idle."""
        return await self._of(service).place(service, previous)

    async def examine(self, service: Service) -> list[Remark]:
        """Tell how the Spaces get on, and whether the token may change them."""
        return await self._of(service).examine(service)

    async def stage(self, order: Order, tell: Tell) -> Version:
        """Send the tree: to a branch that waits, or to the Space that is idle."""
        return await self._of(order.service).stage(order, tell)

    async def turn(self, moves: Sequence[Move], tell: Tell) -> None:
        """See that each Space runs its version."""
        await asyncio.gather(*(self._of(move.service).turn(move, move.to, tell) for move in moves if move.to))

    async def retire(self, versions: Sequence[Named], drain: float) -> None:
        """Take away branches that waited; pause Spaces that have nothing for users, once ``drain`` is over."""
        if any(self.abilities(version.service).moves for version in versions):
            await asyncio.sleep(drain)
        for version in versions:
            await self._of(version.service).retire(version)

    async def look(self, versions: Sequence[Named]) -> Mapping[str, Sighting]:
        """Tell of each version whether it is what its Space has on the main branch, and runs."""
        return {version.id: await self._of(version.service).look(version) for version in versions}

    async def down(self) -> None:
        """Leave all as it is: nothing of it runs on this machine."""

    def _of(self, service: Service) -> OneSpace | TwoSpaces:
        return self._two if service.settings.get("standby") else self._one
