"""With a key: a service is deployed, followed and rolled back by Render's API."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from string import Template

from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Address, Service, Version
from abreast.core.remarks import Level, Remark
from abreast.platforms.cloud.api import LostAnswerError, NotThereError
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Abilities, Move, Named, Order, Sighting, Tell
from abreast.platforms.render.client import FAILED, RENDER, UNDER_WAY, Deploy, Render
from abreast.platforms.render.client import Service as RenderService
from abreast.platforms.render.jobs import Jobs

FRESH = 10.0
"""Seconds for which a look at a service serves others, too."""

TAIL = 20
WITH_DISK = "with a disk: one instance, a pause between two versions, and no disk in build, pre-deploy and jobs"
LOOKS = 10
"""How many of the longest pauses a deploy that was asked for is looked for, before it counts as not begun."""


PERSON = "user"
"""Who suspended a service that may be resumed."""


class WithKey:
    """The verbs of a platform for a service that a key may change."""

    def __init__(self, render: Render, pace: Pace) -> None:
        self._render = render
        self._pace = pace
        self._jobs = Jobs(render, pace)
        self._with_disk: set[str] = set()
        self._looks: dict[str, tuple[float, Deploy | None]] = {}

    def abilities(self, service: Service) -> Abilities:
        """No candidates and no common moment; what a disk means, once it is known."""
        notes = ("goes live in the turn: Render has no candidate without users", "its auto-deploy is turned off")
        with_disk = _id(service) in self._with_disk or service.settings.get("disk")
        return Abilities(candidates=False, together=False, notes=(*notes, WITH_DISK) if with_disk else notes)

    async def present(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it; a service that a person suspended has none."""
        there = await self._there(service)
        if there.details.disk:
            self._with_disk.add(there.id)
        if there.suspended != "not_suspended":
            _refuse_suspended(there)
            return None
        live = await self._live(there.id)
        return _version(f"{service.name}-render-{live.id}", service, there, live.of, live.id) if live else None

    async def examine(self, service: Service) -> list[Remark]:
        """Tell what Render says of the service, and what a deployment will change about it."""
        live = await self.present(service)
        there = await self._there(service)
        running = f"runs {_short(live.handle['of'])}" if live else "has no deploy that users reach"
        remarks = [Remark(Level.OK, "", f"{there.name} {running}")]
        if there.auto_deploy == "yes":
            remarks.append(Remark(Level.WARNING, "", "its auto-deploy is on", "it off: the next deployment does that"))
        if there.details.disk:
            remarks.append(Remark(Level.WARNING, "", WITH_DISK, "an external database, for no pause"))
        if not there.details.url:
            remarks.append(Remark(Level.FAULT, "", f"{there.name} has no address", "a web service"))
        if there.suspended != "not_suspended":
            remarks.append(Remark(Level.WARNING, "", "it is suspended", "it resumed: the next deployment does that"))
        if not there.details.health:
            remarks.append(Remark(Level.WARNING, "", "it has no health check path", "one, or a sick build goes live"))
        return remarks

    async def stage(self, order: Order, tell: Tell) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        there = await self._there(order.service)
        if there.auto_deploy == "yes":
            with suppress(LostAnswerError):
                await self._render.stop_auto_deploy(there.id)
            await tell(order.service.name, "render: auto-deploy is off from now on, or it would undo a rollback")
        return _version(order.version, order.service, there, _image(order) or order.commit)

    async def turn(self, move: Move, version: Version | None, tell: Tell) -> None:
        """Deploy the version, or go back to the deploy that is named, until it is live; without one, suspend."""
        there = await self._there(move.service)
        if version is None:
            if there.suspended == "not_suspended":
                await self._render.suspend(there.id)
                await tell(move.service.name, f"render: {there.name} is suspended, since users had nothing before")
            return
        await self._set_up(move, there, tell)
        try:
            await self._deploy(move, version, tell)
        finally:
            self._looks.pop(there.id, None)
        job = move.service.settings.get("job")
        if job and not version.handle.get("deploy"):
            live = await self._live(there.id)
            why = await self._jobs.run(move.service, there.id, str(job), (live and live.createdAt) or "", tell)
            if why:
                raise PlatformError(f"{why}{await self._log(there)}", need="a job that succeeds", next=there.dashboard)

    async def look(self, version: Named) -> Sighting:
        """Tell whether the version is what its service runs."""
        id_, now = _id(version.service), asyncio.get_running_loop().time()
        at, live = self._looks.get(id_, (-FRESH, None))
        if now - at >= FRESH:
            live = await self._live(id_)
            self._looks[id_] = now, live
        if live and live.of == version.handle.get("of"):
            return Sighting(present=True)
        return Sighting(present=False, exit=f"Render runs {_short(live.of) if live else 'nothing'} instead")

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

    async def _set_up(self, move: Move, there: RenderService, tell: Tell) -> None:
        """Make the service what the version asks for: resumed, scaled, with its variables and pre-deploy command."""
        name, settings = move.service.name, move.service.settings
        if there.suspended != "not_suspended":
            _refuse_suspended(there)
            await self._render.resume(there.id)
            await tell(name, f"render: {there.name} is resumed")
        instances, pre_deploy = settings.get("instances"), settings.get("pre_deploy")
        if isinstance(instances, int) and instances != there.details.instances:
            await self._render.scale(there.id, instances)
            await tell(name, f"render: {there.name} is scaled to {instances}")
        if pre_deploy and pre_deploy != there.details.pre_deploy:
            await self._render.set_pre_deploy(there.id, str(pre_deploy))
        await self._set(there.id, move.env)

    async def _deploy(self, move: Move, version: Version, tell: Tell) -> None:
        service, id_, of = move.service, _id(move.service), version.handle["of"]
        deploys = await self._render.deploys(id_)
        live = next((one for one in deploys if one.status == "live"), None)
        coming = next((one for one in deploys if one.status in UNDER_WAY), None)
        if coming and not _meant(coming, move, version):
            await tell(service.name, f"render: {coming.id} of {_short(coming.of)} is cancelled")
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

    async def _set(self, id_: str, env: Mapping[str, str]) -> None:
        """Set the variables that differ, one by one, and leave all others."""
        have = await self._render.variables(id_) if env else {}
        for name, value in env.items():
            if have.get(name) != value:
                await self._render.set_variable(id_, name, value)

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
            f"Render took a deploy of {_short(handle['of'])} to {id_} but lists none", next="abreast deploy"
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
        log = await self._log(there)
        return PlatformError(
            f"Render ended deploy {deploy.id} of {there.name} as {deploy.status}; users reach what they did{log}",
            need="a commit that Render can build and start",
            next=there.dashboard,
        )

    # ── looks ──────────────────────────────────────────────────────────────────────────────────

    async def _live(self, id_: str) -> Deploy | None:
        return next((one for one in await self._render.deploys(id_) if one.status == "live"), None)

    async def _log(self, there: RenderService) -> str:
        lines: tuple[str, ...] = ()
        with suppress(PlatformError):
            lines = await self._render.logs(there.owner, there.id, TAIL)
        return "".join(f"\n    {line}" for line in lines)


def _id(service: Service) -> str:
    return str(service.settings["service"])


def _meant(deploy: Deploy, move: Move, version: Version) -> bool:
    """Tell whether a deploy is what a move leads to: by name, by rolling back to it, or new and of its commit."""
    named = version.handle.get("deploy")
    if named:
        return deploy.id == named or (deploy.of == version.handle["of"] and deploy.trigger == "rollback")
    before = move.before.handle.get("deploy") if move.before else None
    return deploy.of == version.handle["of"] and deploy.id != before


def _built(deploys: Sequence[Deploy], commit: str) -> str | None:
    """Return the newest deploy of a commit that was live once, so that its build may still be there."""
    return next((one.id for one in deploys if one.of == commit and one.status == "deactivated"), None)


def _image(order: Order) -> str:
    """Return the image that the order is for, "" where it is for its commit."""
    image = str(order.service.settings.get("image") or "")
    told = {"ABREAST_COMMIT": order.commit, "ABREAST_RELEASE": order.env.get("ABREAST_RELEASE", "")}
    return Template(image).safe_substitute(told)


def _short(of: str) -> str:
    return of if "/" in of or ":" in of else of[:7]


def _refuse_suspended(there: RenderService) -> None:
    """Raise PlatformError for a service that is suspended by others than a person of its workspace."""
    if others := [who for who in there.suspenders if who != PERSON]:
        raise PlatformError(
            f"the Render service {there.name} is suspended ({', '.join(others)})",
            need="one that may run",
            next=f"see {there.dashboard}",
        )


def _version(id: str, service: Service, there: RenderService, of: str, deploy: str = "") -> Version:
    address = (there.details.url or "").rstrip("/")
    image = {"image": of} if service.settings.get("image") else {}
    return Version(
        id,
        service.name,
        probes=(),
        url=address,
        turned=(Address(address),) if address else (),
        handle={"of": of, **image, **({"deploy": deploy} if deploy else {})},
    )
