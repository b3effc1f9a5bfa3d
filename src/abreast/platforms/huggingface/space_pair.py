"""Two Spaces for a service: the idle one takes the next version, the other is paused after the switch."""

import asyncio
from collections.abc import Sequence

from abreast.core.diagnostics import Diagnostic
from abreast.core.errors import PlatformError, UnknownVersionError
from abreast.core.model import LiveService, Service, Version
from abreast.core.strategy import Strategy
from abreast.platforms.huggingface.client import ASLEEP, MAIN_BRANCH, STATIC, HubClient, Space
from abreast.platforms.huggingface.hardware import hardware_notes
from abreast.platforms.huggingface.repository import publish
from abreast.platforms.huggingface.space_controller import SpaceController
from abreast.platforms.interface import Capabilities, Observation, Reporter, StageRequest, TrafficMove, VersionRef


class SpacePair:
    """Implements the platform for a service with two Spaces. Other services route users to the live one."""

    def __init__(self, hub: HubClient, controller: SpaceController) -> None:
        self._hub = hub
        self._controller = controller
        self._known: dict[str, Space] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """Return what two Spaces can do."""
        return Capabilities(
            has_candidates=True,
            address_per_version=True,
            notes=("is staged in the idle one of its two Spaces", *hardware_notes(service)),
            strategies=(Strategy.BLUE_GREEN,),
        )

    def known_space(self, service: Service) -> Space | None:
        """Return the first of the Spaces as ``live_version`` found it."""
        return self._known.get(str(service.settings["space"]))

    async def live_version(self, service: Service) -> Version | None:
        """Check both Spaces. Raises UnknownVersionError: a Space does not know whether it is live."""
        await self._require_access(service)
        raise UnknownVersionError("two Spaces do not know which of them is live")

    def space_ids(self, service: Service) -> Sequence[str]:
        """Return the ids of both Spaces."""
        return _space_ids(service)

    async def _require_access(self, service: Service) -> None:
        await self._spaces(service)
        for id_ in _space_ids(service):
            await self._controller.require_write_access(id_)

    async def reserve_url(self, service: Service, previous: LiveService | None) -> str:
        """Return the URL of the idle Space. Raises PlatformError if it cannot tell which one is idle."""
        spaces = await self._spaces(service)
        live = _live_space_id(previous)
        for space in spaces:
            if space.id != live if live else (await self._hub.get_runtime(space.id)).stage != "RUNNING":
                return space.address
        raise PlatformError(
            f"{spaces[0].id} and {spaces[1].id} both run, and abreast does not know which one is live",
            need="the idle one to be paused",
            next=f"pause it at {spaces[1].address}, then: abreast deploy",
        )

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Diagnose both Spaces."""
        await self._require_access(service)
        return [diagnostic for id_ in _space_ids(service) for diagnostic in await self._controller.diagnose(id_)]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Commit the files to the Space at ``request.reserved_url``, and wait until it runs them."""
        space = next(space for space in await self._spaces(request.service) if space.address == request.reserved_url)
        if await self._controller.commit_title(space.id, space.sha) != request.version_id:
            await self._controller.configure(space.id, request.service, request.env, request.secrets, report)
            await report(request.service.name, f"huggingface: uploading changed files to {space.id}")
            head = await publish(self._hub, space, MAIN_BRANCH, request)
            space = space.model_copy(update={"sha": head})
            if request.service.settings.get("factory"):
                await self._hub.restart(space.id, factory=True)
        await self._controller.wait_until_running(request.service, space, report)
        handle = {"version": request.version_id, "space": space.id}
        at = (space.probe,)
        return Version(request.version_id, request.service.name, probes=at, url=space.address, handle=handle)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, report: Reporter) -> None:
        """Check that the Space still runs the version. Other services route users to it, or to none."""
        if version is None:
            return
        space = await self._controller.reachable_space(version.handle["space"])
        title = await self._controller.commit_title(space.id, space.sha)
        if title != version.handle["version"]:
            raise PlatformError(
                f"the Space {space.id} is at {title!r} instead of {version.id}",
                need="no other pushes to this Space",
                next="abreast deploy",
            )
        await self._controller.wait_until_running(move.service, space, report)

    async def retire(self, version: VersionRef) -> None:
        """Pause the Space that holds the version, if any."""
        for id_ in _space_ids(version.service):
            if await self._controller.commit_title(id_, MAIN_BRANCH) == version.id:
                runtime = await self._hub.get_runtime(id_)
                if runtime.stage not in ASLEEP:
                    await self._hub.pause(id_)

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the version is the head of its Space's main branch, and runs."""
        return await self._controller.observe(version.handle["space"], version.handle["version"])

    async def _spaces(self, service: Service) -> list[Space]:
        spaces = await asyncio.gather(*(self._controller.reachable_space(id_) for id_ in _space_ids(service)))
        for space in spaces:
            _require_pairable(space)
            self._known[space.id] = space
        return spaces


def _require_pairable(space: Space) -> None:
    """Raise PlatformError for a Space that cannot be one of two."""
    if space.private:
        raise PlatformError(
            f"the Space {space.id} is private, and the site that routes users to it sends no token",
            need="a public Space, or one Space without `standby`",
        )
    if space.sdk == STATIC:
        raise PlatformError(
            f"the Space {space.id} is static: it cannot be paused, so abreast cannot tell which of two is idle",
            need="a Docker or Gradio Space, or one Space without `standby`",
        )


def _space_ids(service: Service) -> tuple[str, str]:
    return str(service.settings["space"]), str(service.settings["standby"])


def _live_space_id(live: LiveService | None) -> str:
    """Return the id of the live Space, "" if there is none."""
    if live is None or live.platform != "huggingface":
        return ""
    return live.version.handle.get("space") or str(live.definition.settings["space"])
