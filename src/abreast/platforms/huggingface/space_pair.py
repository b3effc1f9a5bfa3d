"""Two Spaces for a service: the one that users are not led to takes the next version, and is paused afterwards."""

import asyncio

from abreast.core.diagnostics import Diagnostic
from abreast.core.errors import PlatformError
from abreast.core.model import Address, LiveService, Service, Version
from abreast.platforms.huggingface.client import ASLEEP, MAIN_BRANCH, HubClient, Space
from abreast.platforms.huggingface.repository import publish
from abreast.platforms.huggingface.space_controller import SpaceController
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef


class SpacePair:
    """The verbs of a platform for a service with two Spaces; users follow by whoever leads them to its address."""

    capabilities = Capabilities(
        has_candidates=True,
        address_per_version=True,
        notes=("comes up in that of its two Spaces which users are not led to",),
    )

    def __init__(self, hub: HubClient, controller: SpaceController) -> None:
        self._hub = hub
        self._controller = controller

    async def live_version(self, service: Service) -> Version | None:
        """See that both Spaces are there; what users are led to is not for a Space to know."""
        await self._spaces(service)
        for id_ in _space_ids(service):
            await self._controller.require_write_access(id_)
        return None

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:
        """Return the address of the Space that users are not led to; raises PlatformError where that is not known."""
        spaces = await self._spaces(service)
        live = _live_space_id(previous)
        for space in spaces:
            if space.id != live if live else (await self._hub.get_runtime(space.id)).stage != "RUNNING":
                return space.address
        raise PlatformError(
            f"both {spaces[0].id} and {spaces[1].id} run, and abreast does not know which of them users are led to",
            need="the other one paused",
            next=f"pause it at {spaces[1].address}, then: abreast deploy",
        )

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Tell how both Spaces get on."""
        await self.live_version(service)
        return [remark for id_ in _space_ids(service) for remark in await self._controller.diagnose(id_)]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Give the Space at the order's place the tree, and follow it until it runs that."""
        space = next(space for space in await self._spaces(request.service) if space.address == request.reserved_url)
        if await self._controller.commit_title(space.id, space.sha) != request.version_id:
            await self._controller.configure(space.id, request.service, request.env, request.secrets)
            await report(request.service.name, f"huggingface: sending what differs to {space.id}")
            head = await publish(self._hub, space, MAIN_BRANCH, request)
            space = space.model_copy(update={"sha": head})
            if request.service.settings.get("factory"):
                await self._hub.restart(space.id, factory=True)
        await self._controller.wait_until_running(request.service, space, report)
        handle = {"version": request.version_id, "space": space.id}
        at = (Address(space.address),)
        return Version(request.version_id, request.service.name, probes=at, url=space.address, handle=handle)

    async def switch_traffic(self, move: TrafficMove, version: Version, report: Reporter) -> None:
        """See that the version's Space still has it and runs; users are led there by others."""
        space = await self._controller.reachable_space(version.handle["space"])
        title = await self._controller.commit_title(space.id, space.sha)
        if title != version.handle["version"]:
            raise PlatformError(
                f"the Space {space.id} has {title!r} instead of {version.id}",
                need="a Space that nobody else pushes to",
                next="abreast deploy",
            )
        await self._controller.wait_until_running(move.service, space, report)

    async def retire(self, version: VersionRef) -> None:
        """Pause the Space that has the version, where one has."""
        for id_ in _space_ids(version.service):
            if await self._controller.commit_title(id_, MAIN_BRANCH) == version.id:
                runtime = await self._hub.get_runtime(id_)
                if runtime.stage not in ASLEEP:
                    await self._hub.pause(id_)

    async def observe(self, version: VersionRef) -> Observation:
        """Tell whether its Space has the version on the main branch, and runs."""
        return await self._controller.observe(version.handle["space"], version.handle["version"])

    async def _spaces(self, service: Service) -> list[Space]:
        return await asyncio.gather(*(self._controller.reachable_space(id_) for id_ in _space_ids(service)))


def _space_ids(service: Service) -> tuple[str, str]:
    return str(service.settings["space"]), str(service.settings["standby"])


def _live_space_id(live: LiveService | None) -> str:
    """Return the Space that users are led to, "" where that is none."""
    if live is None or live.platform != "huggingface":
        return ""
    return live.version.handle.get("space") or str(live.definition.settings["space"])
