"""With a key: a service is deployed, followed and rolled back by Render's API."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from string import Template

from abreast.core.errors import PlatformError
from abreast.core.image import FILE, read
from abreast.core.model import Address, Service, Version
from abreast.core.remarks import Level, Remark
from abreast.platforms.cloud.api import LostAnswerError, NotThereError
from abreast.platforms.cloud.polling import Pace
from abreast.platforms.interface import Capabilities, Observation, StageRequest, Tell, TrafficMove, VersionRef
from abreast.platforms.render.client import RENDER, Deploy, Render
from abreast.platforms.render.client import Service as RenderService
from abreast.platforms.render.deploys import Deploys, id_of, short
from abreast.platforms.render.jobs import Jobs

FRESH = 10.0
"""Seconds for which a look at a service serves others, too."""

WITH_DISK = "with a disk: one instance, a pause between two versions, and no disk in build, pre-deploy and jobs"
PERSON = "user"
"""Who suspended a service that may be resumed."""


class WithKey:
    """The verbs of a platform for a service that a key may change."""

    def __init__(self, render: Render, pace: Pace) -> None:
        self._render = render
        self._deploys = Deploys(render, pace)
        self._jobs = Jobs(render, pace)
        self._with_disk: set[str] = set()
        self._looks: dict[str, tuple[float, Deploy | None]] = {}

    def capabilities(self, service: Service) -> Capabilities:
        """No candidates and no common moment; what a disk means, once it is known."""
        notes = ("goes live in the turn: Render has no candidate without users", "its auto-deploy is turned off")
        with_disk = id_of(service) in self._with_disk or service.settings.get("disk")
        return Capabilities(has_candidates=False, notes=(*notes, WITH_DISK) if with_disk else notes)

    async def live_version(self, service: Service) -> Version | None:
        """Return the deploy that is live, whoever made it; a service that a person suspended has none."""
        there = await self._there(service)
        if there.details.disk:
            self._with_disk.add(there.id)
        if there.suspended != "not_suspended":
            _refuse_suspended(there)
            return None
        live = await self._deploys.live(there.id)
        return _version(f"{service.name}-render-{live.id}", service, there, live.of, live.id) if live else None

    async def diagnose(self, service: Service) -> list[Remark]:
        """Tell what Render says of the service, and what a deployment will change about it."""
        live = await self.live_version(service)
        there = await self._there(service)
        running = f"runs {short(live.handle['of'])}" if live else "has no deploy that users reach"
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

    async def stage(self, order: StageRequest, tell: Tell) -> Version:
        """See that the service is there, and keep Render from deploying it by itself."""
        there = await self._there(order.service)
        if there.auto_deploy == "yes":
            with suppress(LostAnswerError):
                await self._render.stop_auto_deploy(there.id)
            await tell(order.service.name, "render: auto-deploy is off from now on, or it would undo a rollback")
        return _version(order.version_id, order.service, there, _image(order) or order.commit)

    async def switch_traffic(self, move: TrafficMove, version: Version | None, tell: Tell) -> None:
        """Deploy the version, or go back to the deploy that is named, until it is live; without one, suspend."""
        there = await self._there(move.service)
        if version is None:
            if there.suspended == "not_suspended":
                await self._render.suspend(there.id)
                await tell(move.service.name, f"render: {there.name} is suspended: no version of it is for users")
            return
        await self._set_up(move, there, tell)
        try:
            await self._deploys.bring(move, version, tell)
        finally:
            self._looks.pop(there.id, None)
        job = move.service.settings.get("job")
        if job and not version.handle.get("deploy"):
            live = await self._deploys.live(there.id)
            why = await self._jobs.run(move.service, there.id, str(job), (live and live.createdAt) or "", tell)
            if why:
                raise PlatformError(
                    f"{why}{await self._deploys.log(there)}", need="a job that succeeds", next=there.dashboard
                )

    async def observe(self, version: VersionRef) -> Observation:
        """Tell whether the version is what its service runs."""
        id_, now = id_of(version.service), asyncio.get_running_loop().time()
        at, live = self._looks.get(id_, (-FRESH, None))
        if now - at >= FRESH:
            live = await self._deploys.live(id_)
            self._looks[id_] = now, live
        if live and live.of == version.handle.get("of"):
            return Observation(present=True)
        return Observation(present=False, exit_reason=f"Render runs {short(live.of) if live else 'nothing'} instead")

    async def _there(self, service: Service) -> RenderService:
        try:
            return await self._render.service(id_of(service))
        except NotThereError as error:
            raise PlatformError(
                f"{error.what}: the key sees no such service",
                need=f"{RENDER.variable} with {RENDER.scope}, and the id that its dashboard's address shows",
                next=f"export {RENDER.variable}=…",
            ) from error

    # ── the turn ───────────────────────────────────────────────────────────────────────────────

    async def _set_up(self, move: TrafficMove, there: RenderService, tell: Tell) -> None:
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

    async def _set(self, id_: str, env: Mapping[str, str]) -> None:
        """Set the variables that differ, one by one, and leave all others."""
        have = await self._render.variables(id_) if env else {}
        for name, value in env.items():
            if have.get(name) != value:
                await self._render.set_variable(id_, name, value)


def _image(order: StageRequest) -> str:
    """Return the image that the order is for, "" where it is for its commit."""
    image = str(order.service.settings.get("image") or "")
    told = {"ABREAST_COMMIT": order.commit, "ABREAST_RELEASE": order.env.get("ABREAST_RELEASE", "")}
    if "ABREAST_IMAGE" in image:
        told["ABREAST_IMAGE"] = _built(order)
    return Template(image).safe_substitute(told)


def _built(order: StageRequest) -> str:
    """Return the image that was built, by its digest; raises PlatformError where none was."""
    try:
        return read((order.artifact_path / FILE).read_bytes()).pinned
    except (OSError, ValueError, KeyError) as error:
        raise PlatformError(
            f"no image was built of {order.service.name}, which $ABREAST_IMAGE stands for",
            need="build: {image: …} of that service",
            next="abreast docs build",
        ) from error


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
