"""Deploys: begun, or found again, and followed until they are live."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Service, Version
from abreast.platforms.cloud.api import LostAnswerError
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Tell, TrafficMove
from abreast.platforms.render.client import FAILED, UNDER_WAY, Deploy, Render
from abreast.platforms.render.client import Service as RenderService

TAIL = 20
LOOKS = 10
"""How many of the longest pauses a deploy that was asked for is looked for, before it counts as not begun."""


class Deploys:
    """The deploys of services that are there."""

    def __init__(self, render: Render, pace: Pace) -> None:
        self._render = render
        self._pace = pace

    async def bring(self, move: TrafficMove, version: Version, tell: Tell) -> None:
        """Deploy the version, or go back to the deploy that it names, and follow it until it is live."""
        service, id_, of = move.service, id_of(move.service), version.handle["of"]
        deploys = await self._render.deploys(id_)
        live = next((one for one in deploys if one.status == "live"), None)
        coming = next((one for one in deploys if one.status in UNDER_WAY), None)
        if coming and not _meant(coming, move, version):
            await tell(service.name, f"render: {coming.id} of {short(coming.of)} is cancelled")
            await self._render.cancel(id_, coming.id)
            coming = None
        if coming is None and live and _meant(live, move, version):
            return
        if coming is None:
            # A deploy of the same commit is new only in what it asks for, which a roll back would not show.
            built = None if live and live.of == of else _built(deploys, of)
            known = {one.id for one in deploys}
            coming = await self._begun(id_, version.handle, version.handle.get("deploy") or built, known)
        await self._follow(service, coming, tell)

    async def _begun(self, id_: str, handle: Mapping[str, str], built: str | None, known: set[str]) -> Deploy:
        """Begin a deploy, from an earlier one's build where it is still there, and find it in the list."""
        lost = None
        try:
            await self._begin(id_, handle, built)
        except LostAnswerError as error:
            lost = error
        with self._pace.waiting(self._pace.longest * (1 if lost else LOOKS)) as pauses:
            for pause in pauses:
                for deploy in await self._render.deploys(id_):
                    if deploy.id not in known and deploy.of == handle["of"]:
                        return deploy
                await asyncio.sleep(pause)
        raise lost or PlatformError(
            f"Render took a deploy of {short(handle['of'])} to {id_} but lists none", next="abreast deploy"
        )

    async def _begin(self, id_: str, handle: Mapping[str, str], built: str | None) -> None:
        if built:
            try:
                await self._render.roll_back(id_, built)
            except TransientError:
                raise
            except PlatformError:  # its build is gone, so the commit is built again
                built = None
        if not built:
            await self._render.begin(id_, handle["of"], handle.get("image", ""))

    async def _follow(self, service: Service, deploy: Deploy, tell: Tell) -> None:
        id_, told = id_of(service), ""
        with self._pace.waiting(service.build.timeout) as pauses:
            for pause in pauses:
                if deploy.status != told:
                    told = deploy.status
                    await tell(service.name, f"render: {deploy.id} {told}")
                if deploy.status == "live":
                    return
                if deploy.status in FAILED or deploy.status == "deactivated":
                    raise await self._failure(service, deploy)
                await asyncio.sleep(pause)
                deploy = await self._render.deploy(id_, deploy.id)
        raise PlatformError(
            f"Render left deploy {deploy.id} as {deploy.status} for {service.build.timeout:g} s",
            need="a deploy that goes live, or a longer build.timeout",
        )

    async def _failure(self, service: Service, deploy: Deploy) -> PlatformError:
        there = await self._render.service(id_of(service))
        log = await self.log(there)
        return PlatformError(
            f"Render ended deploy {deploy.id} of {there.name} as {deploy.status}; users reach what they did{log}",
            need="a commit that Render can build and start",
            next=there.dashboard,
        )

    async def live(self, id_: str) -> Deploy | None:
        """Return the deploy that users reach."""
        return next((one for one in await self._render.deploys(id_) if one.status == "live"), None)

    async def log(self, there: RenderService) -> str:
        """Return the last lines that a service and its builds printed, to stand below an error."""
        lines: tuple[str, ...] = ()
        with suppress(PlatformError):
            lines = await self._render.logs(there.owner, there.id, TAIL)
        return "".join(f"\n    {line}" for line in lines)


def id_of(service: Service) -> str:
    """Return Render's id of a service."""
    return str(service.settings["service"])


def short(of: str) -> str:
    """Return a commit as people say it, or an image whole."""
    return of if "/" in of or ":" in of else of[:7]


def _meant(deploy: Deploy, move: TrafficMove, version: Version) -> bool:
    """Tell whether a deploy is what a move leads to: by name, by rolling back to it, or new and of its commit."""
    named = version.handle.get("deploy")
    if named:
        return deploy.id == named or (deploy.of == version.handle["of"] and deploy.trigger == "rollback")
    before = move.before.handle.get("deploy") if move.before else None
    return deploy.of == version.handle["of"] and deploy.id != before


def _built(deploys: Sequence[Deploy], commit: str) -> str | None:
    """Return the newest deploy of a commit that was live once, so that its build may still be there."""
    return next((one.id for one in deploys if one.of == commit and one.status == "deactivated"), None)
