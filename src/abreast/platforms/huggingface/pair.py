"""Two Spaces for a service: the one that users are not led to takes the next version, and is paused afterwards."""

import asyncio

from abreast.core.errors import PlatformError
from abreast.core.model import Address, Live, Service, Version
from abreast.core.remarks import Remark
from abreast.platforms.huggingface.client import ASLEEP, MAIN, Hub, Space
from abreast.platforms.huggingface.repository import publish
from abreast.platforms.huggingface.running import Running
from abreast.platforms.interface import Capabilities, Observation, StageRequest, Tell, TrafficMove, VersionRef


class TwoSpaces:
    """The verbs of a platform for a service with two Spaces; users follow by whoever leads them to its address."""

    capabilities = Capabilities(
        has_candidates=True,
        address_per_version=True,
        notes=("comes up in that of its two Spaces which users are not led to",),
    )

    def __init__(self, hub: Hub, running: Running) -> None:
        self._hub = hub
        self._running = running

    async def live_version(self, service: Service) -> Version | None:
        """See that both Spaces are there; what users are led to is not for a Space to know."""
        await self._spaces(service)
        for id_ in _ids(service):
            await self._running.refuse_reader(id_)
        return None

    async def reserve_url(self, service: Service, previous: Live | None) -> str:
        """Return the address of the Space that users are not led to; raises PlatformError where that is not known."""
        spaces = await self._spaces(service)
        live = _space_of(previous)
        for space in spaces:
            if space.id != live if live else (await self._hub.runtime(space.id)).stage != "RUNNING":
                return space.address
        raise PlatformError(
            f"both {spaces[0].id} and {spaces[1].id} run, and abreast does not know which of them users are led to",
            need="the other one paused",
            next=f"pause it at {spaces[1].address}, then: abreast deploy",
        )

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell how both Spaces get on."""
        await self.live_version(service)
        return [remark for id_ in _ids(service) for remark in await self._running.diagnose(id_)]

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        """Give the Space at the order's place the tree, and follow it until it runs that."""
        space = next(space for space in await self._spaces(order.service) if space.address == order.reserved_url)
        if await self._running.title(space.id, space.sha) != order.version_id:
            await self._running.set(space.id, order.service, order.env, order.secrets)
            await tell(order.service.name, f"huggingface: sending what differs to {space.id}")
            head = await publish(self._hub, space, MAIN, order)
            space = space.model_copy(update={"sha": head})
            if order.service.settings.get("factory"):
                await self._hub.restart(space.id, factory=True)
        await self._running.follow(order.service, space, tell)
        handle = {"version": order.version_id, "space": space.id}
        at = (Address(space.address),)
        return Version(order.version_id, order.service.name, probes=at, url=space.address, handle=handle)

    async def switch_traffic(self, move: TrafficMove, version: Version, tell: Tell) -> None:
        """See that the version's Space still has it and runs; users are led there by others."""
        space = await self._running.space(version.handle["space"])
        title = await self._running.title(space.id, space.sha)
        if title != version.handle["version"]:
            raise PlatformError(
                f"the Space {space.id} has {title!r} instead of {version.id}",
                need="a Space that nobody else pushes to",
                next="abreast deploy",
            )
        await self._running.follow(move.service, space, tell)

    async def retire(self, version: VersionRef) -> None:
        """Pause the Space that has the version, where one has."""
        for id_ in _ids(version.service):
            if await self._running.title(id_, MAIN) == version.id:
                runtime = await self._hub.runtime(id_)
                if runtime.stage not in ASLEEP:
                    await self._hub.pause(id_)

    async def observe(self, version: VersionRef) -> Observation:
        """Tell whether its Space has the version on the main branch, and runs."""
        return await self._running.seen(version.handle["space"], version.handle["version"])

    async def _spaces(self, service: Service) -> list[Space]:
        return await asyncio.gather(*(self._running.space(id_) for id_ in _ids(service)))


def _ids(service: Service) -> tuple[str, str]:
    return str(service.settings["space"]), str(service.settings["standby"])


def _space_of(live: Live | None) -> str:
    """Return the Space that users are led to, "" where that is none."""
    if live is None or live.platform != "huggingface":
        return ""
    return live.version.handle.get("space") or str(live.definition.settings["space"])
