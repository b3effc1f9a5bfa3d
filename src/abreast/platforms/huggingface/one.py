"""One Space for a service: a version waits on a branch of it, and becomes what is built in the turn."""

import contextlib

from abreast.core.model import Address, Live, Service, Version
from abreast.core.remarks import Remark
from abreast.platforms.cloud.api import ConflictError
from abreast.platforms.huggingface.client import Hub, Space
from abreast.platforms.huggingface.repository import publish, restore
from abreast.platforms.huggingface.running import Running
from abreast.platforms.interface import Capabilities, Observation, StageRequest, Tell, TrafficMove, VersionRef


class OneSpace:
    """The verbs of a platform for a service with one Space, which has no candidate without users."""

    capabilities = Capabilities(
        has_candidates=False,
        can_unpublish=False,
        notes=("goes live in the turn, once its Space has built it; a second one as `standby` would be a candidate",),
    )

    def __init__(self, hub: Hub, running: Running) -> None:
        self._hub = hub
        self._running = running

    async def live_version(self, service: Service) -> Version | None:
        """Return the head of the main branch, whoever put it there, if it ever ran."""
        space = await self._running.space(_id(service))
        await self._running.refuse_reader(space.id)
        runtime = await self._hub.runtime(space.id)
        if runtime.stage in {"NO_APP_FILE", "CONFIG_ERROR"}:
            return None
        title = await self._running.title(space.id, space.sha)
        return _version(f"{service.name}-huggingface-{space.sha}", service, space, title, revision=space.sha)

    async def reserve_url(self, service: Service, previous: Live | None) -> str:  # noqa: ARG002 (as for two Spaces)
        """Return nothing: it has one address."""
        return ""

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell how the Space gets on."""
        await self.live_version(service)
        return await self._running.diagnose(_id(service))

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        """Put the tree on a branch of its own, which the Space does not build."""
        space = await self._running.space(_id(order.service))
        with contextlib.suppress(ConflictError):  # it was made before
            await self._hub.branch(space.id, order.version_id, space.sha)
        waiting = await self._hub.space(space.id, order.version_id)
        if await self._running.title(space.id, waiting.sha) != order.version_id:
            await tell(order.service.name, f"huggingface: sending what differs to {space.id}")
            await publish(self._hub, waiting, order.version_id, order)
        return _version(order.version_id, order.service, space, order.version_id)

    async def switch_traffic(self, move: TrafficMove, version: Version, tell: Tell) -> None:
        """Give the main branch the tree of the version, and follow the Space until it runs that."""
        space = await self._running.space(_id(move.service))
        await self._running.set(space.id, move.service, move.env, move.secrets)
        title = version.handle["version"]
        revision = version.handle.get("revision") or (await self._hub.space(space.id, title)).sha
        head = await restore(self._hub, space, revision, title)
        if head != space.sha and move.service.settings.get("factory"):
            await self._hub.restart(space.id, factory=True)
        await self._running.follow(move.service, space.model_copy(update={"sha": head}), tell)

    async def retire(self, version: VersionRef) -> None:
        """Take the version's branch away; what users have is on the main branch."""
        await self._hub.delete_branch(_id(version.service), version.id)

    async def observe(self, version: VersionRef) -> Observation:
        """Tell whether the version is what the Space has on the main branch, and runs."""
        return await self._running.seen(_id(version.service), version.handle.get("version", version.id))


def _id(service: Service) -> str:
    return str(service.settings["space"])


def _version(id: str, service: Service, space: Space, title: str, **more: str) -> Version:
    handle = {"version": title, **more}
    return Version(id, service.name, probes=(), url=space.address, turned=(Address(space.address),), handle=handle)
