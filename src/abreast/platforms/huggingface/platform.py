"""The Hugging Face platform: a service has one Space, or two in turn."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.diagnostics import Diagnostic
from abreast.core.model import LiveService, Service, Version
from abreast.platforms.cloud.api_client import connect
from abreast.platforms.cloud.polling import PollBudget
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient
from abreast.platforms.huggingface.settings import HuggingFaceSettings
from abreast.platforms.huggingface.single_space import SingleSpace
from abreast.platforms.huggingface.space_controller import SpaceController
from abreast.platforms.huggingface.space_pair import SpacePair
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

POLL_INTERVAL, MAX_POLLERS = 2.0, 5
"""Seconds between two looks at a Space, at last, and how many are followed so: 150 of the 200 requests a minute."""


class HuggingFacePlatform(Platform):
    """Gives Spaces a new tree; each commit bears its version's id as title."""

    name = "huggingface"

    def __init__(self, hub: HubClient, poll_interval: float = POLL_INTERVAL) -> None:
        controller = SpaceController(hub, PollBudget(poll_interval, MAX_POLLERS))
        self._single = SingleSpace(hub, controller)
        self._pair = SpacePair(hub, controller)

    def capabilities(self, service: Service) -> Capabilities:
        """With one Space no candidates and always a version; with two, an address for each version."""
        return self._variant_for(service).capabilities

    async def live_version(self, service: Service) -> Version | None:
        """Return what one Space has on its main branch, whoever put it there."""
        return await self._variant_for(service).live_version(service)

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:
        """Return the address of that of two Spaces which is idle."""
        return await self._variant_for(service).reserve_url(service, previous)

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Tell how the Spaces get on, and whether the token may change them."""
        return await self._variant_for(service).diagnose(service)

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Send the tree: to a branch that waits, or to the Space that is idle."""
        return await self._variant_for(request.service).stage(request, report)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """See that each Space runs its version."""
        await asyncio.gather(
            *(
                self._variant_for(move.service).switch_traffic(move, move.target, report)
                for move in moves
                if move.target
            )
        )

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Take away branches that waited; pause Spaces that have nothing for users, once ``drain`` is over."""
        if any(self.capabilities(version.service).address_per_version for version in versions):
            await asyncio.sleep(drain)
        for version in versions:
            await self._variant_for(version.service).retire(version)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell of each version whether it is what its Space has on the main branch, and runs."""
        return {version.id: await self._variant_for(version.service).observe(version) for version in versions}

    def _variant_for(self, service: Service) -> SingleSpace | SpacePair:
        return self._pair if service.settings.get("standby") else self._single


def _create(context: PlatformContext) -> HuggingFacePlatform:
    return HuggingFacePlatform(HubClient(connect(HUGGING_FACE, context)))


PLUGIN = PlatformPlugin(HuggingFaceSettings, _create)
