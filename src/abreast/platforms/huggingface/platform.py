"""The Hugging Face platform: a service runs in one Space, or alternates between two."""

import asyncio
from collections.abc import Mapping, Sequence

from abreast.core.diagnostics import Diagnostic
from abreast.core.model import LiveService, Service, Version
from abreast.core.secrets import Secret
from abreast.machine.tasks import run_all
from abreast.platforms.huggingface.client import HUGGING_FACE, HubClient
from abreast.platforms.huggingface.preview_space import PreviewSpace
from abreast.platforms.huggingface.settings import HuggingFaceSettings
from abreast.platforms.huggingface.single_space import SingleSpace
from abreast.platforms.huggingface.source_files import inspect_files
from abreast.platforms.huggingface.space_controller import SpaceController
from abreast.platforms.huggingface.space_pair import SpacePair
from abreast.platforms.huggingface.space_variables import SpaceVariables
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    PlatformContext,
    PlatformPlugin,
    Reporter,
    SourceFiles,
    StageRequest,
    TrafficMove,
    VersionRef,
)
from abreast.provider_api.api_client import connect
from abreast.provider_api.polling import PollBudget

POLL_INTERVAL, MAX_POLLERS = 2.0, 5
"""Maximum poll interval in seconds, and the pollers it allows: 150 of 200 requests a minute."""


class HuggingFacePlatform(Platform):
    """Commits a version's files to a Space. A commit's title is its version id."""

    name = "huggingface"

    def __init__(self, hub: HubClient, token: Secret | None, poll_interval: float = POLL_INTERVAL) -> None:
        variables = SpaceVariables(hub, token)
        controller = self._controller = SpaceController(hub, variables, PollBudget(poll_interval, MAX_POLLERS))
        self._single = SingleSpace(hub, controller, variables)
        self._pair = SpacePair(hub, controller)
        self._preview = PreviewSpace(hub, controller, variables, self._single)

    def capabilities(self, service: Service) -> Capabilities:
        """One Space: no candidates, no unpublishing but of previews. Two Spaces: an address per version."""
        return self._variant_for(service).capabilities(service)

    async def live_version(self, service: Service) -> Version | None:
        """Return the head of the main branch, whoever pushed it; None with two Spaces."""
        return await self._variant_for(service).live_version(service)

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:
        """Return the URL of the idle Space of two, "" with one Space."""
        return await self._variant_for(service).reserve_url(service, previous)

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose the Spaces, and check that the token can change them."""
        return await self._variant_for(service).diagnose(service)

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Upload the files, to a branch of the Space or to the idle Space of two."""
        return await self._variant_for(request.service).stage(request, report)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Make each Space run its version. Only the Space of a preview can be without one."""
        await run_all(*(self._variant_for(move.service).switch_traffic(move, move.target, report) for move in moves))

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Delete staged branches. Pause Spaces that are not live, after ``drain`` seconds."""
        if any(self.capabilities(version.service).address_per_version for version in versions):
            await asyncio.sleep(drain)
        for version in versions:
            await self._variant_for(version.service).retire(version)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Return whether each version is the head of its Space's main branch, and runs."""
        return {version.id: await self._variant_for(version.service).observe(version) for version in versions}

    async def inspect_release(self, service: Service, files: SourceFiles | None) -> list[Diagnostic]:
        """Say what becomes public, and find what would keep the Space from building or answering."""
        space = self._variant_for(service).known_space(service)
        return inspect_files(service, space, files) if space and files else []

    async def recent_logs(self, service: Service, limit: int) -> list[tuple[str, str]]:
        """Return the last ``limit`` lines of the Space, or of both, oldest first, each with its time."""
        return await self._controller.recent_logs(self._variant_for(service).space_ids(service), limit)

    async def remove_preview(self, service: Service, report: Reporter) -> None:
        """Delete the preview's Space, if its mark says that abreast created it for this preview."""
        await self._preview.remove(service, report)

    def _variant_for(self, service: Service) -> SingleSpace | SpacePair | PreviewSpace:
        if "preview" in service.settings:
            return self._preview
        return self._pair if service.settings.get("standby") else self._single


def _create(context: PlatformContext) -> HuggingFacePlatform:
    hub = HubClient(connect(HUGGING_FACE, context))
    return HuggingFacePlatform(hub, context.secret(HUGGING_FACE.token_variable))


PLUGIN = PlatformPlugin(HuggingFaceSettings, _create, HUGGING_FACE.token_variable)
