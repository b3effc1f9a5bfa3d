"""The Render platform: nothing can be up there without users, so a service is deployed, and goes live, in the turn."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Address, Service, Version
from abreast.core.remarks import Level, Remark
from abreast.platforms.cloud.api import LostAnswerError, NotThereError
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Abilities, Move, Named, Order, Platform, Sighting, Tell
from abreast.platforms.render.client import FAILED, RENDER, UNDER_WAY, Deploy, Render
from abreast.platforms.render.client import Service as RenderService

PAUSE, ROOM = 3.0, 15
"""Seconds between two looks at a deploy, at last, and how many are followed so: 300 of the 400 requests a minute."""

FRESH = 10.0
"""Seconds for which a look at a service serves others, too."""

TAIL = 20
_WITH_DISK = "with a disk there is a pause: one instance, stopped before the next"
LOOKS = 10
"""How many of the longest pauses a deploy that was asked for is looked for, before it counts as not begun."""


class RenderPlatform(Platform):
    """Deploys commits to services that are there; Render builds them."""

    name = "render"

    def __init__(self, render: Render, pause: float = PAUSE) -> None:
        self._render = render
        self._pace = Pace(pause, ROOM)
        self._looks: dict[str, tuple[float, Deploy | None]] = {}

    def abilities(self, service: Service) -> Abilities:  # noqa: ARG002 (the same for every service)
        """No candidates, no common moment, and always a version."""
        notes = ("goes live in the turn: Render has no candidate without users", "its auto-deploy is turned off")
        return Abilities(candidates=False, together=False, empties=False, notes=notes)

    async def present(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it."""
        there = await self._there(service)
        live = await self._live(there.id)
        if there.suspended != "not_suspended":
            raise PlatformError(
                f"the Render service {there.name} is suspended",
                need="one that runs",
                next=f"resume it: {there.dashboard}",
            )
        return (
            _version(f"{service.name}-render-{live.id}", service, there.details.url, live.of, live.id) if live else None
        )

    async def examine(self, service: Service) -> list[Remark]:
        """Tell what Render says of the service, and what a deployment will change about it."""
        live = await self.present(service)
        there = await self._there(service)
        running = f"runs {live.handle['commit'][:7]}" if live else "has no deploy yet"
        remarks = [Remark(Level.OK, "", f"{there.name} {running}")]
        if there.auto_deploy == "yes":
            remarks.append(Remark(Level.WARNING, "", "its auto-deploy is on", "it off: the next deployment does that"))
        if there.details.disk:
            remarks.append(Remark(Level.WARNING, "", _WITH_DISK, "an external database, for no pause"))
        if not there.details.url:
            remarks.append(Remark(Level.FAULT, "", f"{there.name} has no address", "a web service"))
        return remarks

    async def stage(self, order: Order, tell: Tell) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        there = await self._there(order.service)
        if there.auto_deploy == "yes":
            with suppress(LostAnswerError):
                await self._render.stop_auto_deploy(there.id)
            await tell(order.service.name, "render: auto-deploy is off from now on, or it would undo a rollback")
        if there.details.disk:
            await tell(order.service.name, f"render: {_WITH_DISK}")
        return _version(order.version, order.service, there.details.url, order.commit)

    async def turn(self, moves: Sequence[Move], tell: Tell) -> None:
        """Deploy each commit, or go back to the deploy that is named, and follow it until it is live."""
        await asyncio.gather(*(self._move(move, move.to, tell) for move in moves if move.to))

    async def retire(self, versions: Sequence[Named], drain: float) -> None:
        """Nothing: Render ends the old version itself, and keeps its build to be gone back to."""

    async def look(self, versions: Sequence[Named]) -> Mapping[str, Sighting]:
        """Tell of each version whether it is what its service runs."""
        return {version.id: await self._seen(version) for version in versions}

    async def down(self) -> None:
        """Leave all as it is: nothing of it runs on this machine."""

    async def _there(self, service: Service) -> RenderService:
        try:
            return await self._render.service(_id(service))
        except NotThereError as error:
            raise PlatformError(
                f"{error.what}: the key sees no such service",
                need=f"{RENDER.variable} with {RENDER.scope}, and the id that its dashboard's address shows",
                next=f"export {RENDER.variable}=…",
            ) from error

    # ── the turn ───────────────────────────────────────────────────────────────────────────────

    async def _move(self, move: Move, version: Version, tell: Tell) -> None:
        service, id_, commit = move.service, _id(move.service), version.handle["commit"]
        await self._set(id_, move.env)
        deploys = await self._render.deploys(id_)
        live = next((one for one in deploys if one.status == "live"), None)
        coming = next((one for one in deploys if one.status in UNDER_WAY), None)
        if coming and not _meant(coming, move, version):
            await tell(service.name, f"render: {coming.id} of {coming.of[:7]} is cancelled")
            await self._render.cancel(id_, coming.id)
            coming = None
        if coming is None and live and _meant(live, move, version):
            return
        if coming is None:
            # A deploy of the same commit is new only in what it asks for, which a roll back would not show.
            built = None if live and live.of == commit else _built(deploys, commit)
            known = {one.id for one in deploys}
            coming = await self._begun(id_, commit, version.handle.get("deploy") or built, known)
        try:
            await self._follow(service, coming, tell)
        finally:
            self._looks.pop(id_, None)

    async def _set(self, id_: str, env: Mapping[str, str]) -> None:
        """Set the variables that differ, one by one, and leave all others."""
        have = await self._render.variables(id_) if env else {}
        for name, value in env.items():
            if have.get(name) != value:
                await self._render.set_variable(id_, name, value)

    async def _begun(self, id_: str, commit: str, built: str | None, known: set[str]) -> Deploy:
        """Begin a deploy, from an earlier one's build where it is still there, and find it in the list."""
        lost = None
        try:
            await self._begin(id_, commit, built)
        except LostAnswerError as error:
            lost = error
        with self._pace.waiting(self._pace.longest * (1 if lost else LOOKS)) as pauses:
            for pause in pauses:
                for deploy in await self._render.deploys(id_):
                    if deploy.id not in known and deploy.of == commit:
                        return deploy
                await asyncio.sleep(pause)
        raise lost or PlatformError(
            f"Render took a deploy of {commit[:7]} to {id_} but lists none", next="abreast deploy"
        )

    async def _begin(self, id_: str, commit: str, built: str | None) -> None:
        if built:
            try:
                await self._render.roll_back(id_, built)
            except TransientError:
                raise
            except PlatformError:  # its build is gone, so the commit is built again
                built = None
        if not built:
            await self._render.begin(id_, commit)

    async def _follow(self, service: Service, deploy: Deploy, tell: Tell) -> None:
        id_, told = _id(service), ""
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
        there = await self._render.service(_id(service))
        lines: tuple[str, ...] = ()
        with suppress(PlatformError):
            lines = await self._render.logs(there.owner, there.id, TAIL)
        log = "".join(f"\n    {line}" for line in lines)
        return PlatformError(
            f"Render ended deploy {deploy.id} of {there.name} as {deploy.status}; users reach what they did{log}",
            need="a commit that Render can build and start",
            next=there.dashboard,
        )

    # ── looks ──────────────────────────────────────────────────────────────────────────────────

    async def _live(self, id_: str) -> Deploy | None:
        return next((one for one in await self._render.deploys(id_) if one.status == "live"), None)

    async def _seen(self, version: Named) -> Sighting:
        id_, now = _id(version.service), asyncio.get_running_loop().time()
        at, live = self._looks.get(id_, (-FRESH, None))
        if now - at >= FRESH:
            live = await self._live(id_)
            self._looks[id_] = now, live
        if live and live.of == version.handle.get("commit"):
            return Sighting(present=True)
        return Sighting(present=False, exit=f"Render runs {live.of[:7] if live else 'nothing'} instead")


def _id(service: Service) -> str:
    return str(service.settings["service"])


def _meant(deploy: Deploy, move: Move, version: Version) -> bool:
    """Tell whether a deploy is what a move leads to: by name, by rolling back to it, or new and of its commit."""
    named = version.handle.get("deploy")
    if named:
        return deploy.id == named or (deploy.of == version.handle["commit"] and deploy.trigger == "rollback")
    before = move.before.handle.get("deploy") if move.before else None
    return deploy.of == version.handle["commit"] and deploy.id != before


def _built(deploys: Sequence[Deploy], commit: str) -> str | None:
    """Return the newest deploy of a commit that was live once, so that its build may still be there."""
    return next((one.id for one in deploys if one.of == commit and one.status == "deactivated"), None)


def _version(id: str, service: Service, url: str | None, commit: str, deploy: str = "") -> Version:
    address = (url or "").rstrip("/")
    return Version(
        id,
        service.name,
        probes=(),
        url=address,
        turned=(Address(address),) if address else (),
        handle={"commit": commit, **({"deploy": deploy} if deploy else {})},
    )
